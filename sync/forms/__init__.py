"""Forms of instances and rules. What a field may hold is checked by the models; here stands what only a form knows."""

from sync.forms.instance import InstanceForm
from sync.forms.rule import EXPRESSIONS, RuleForm

__all__ = ["EXPRESSIONS", "InstanceForm", "RuleForm"]
