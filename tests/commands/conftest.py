from tests.registries import judge, namespace, quick_backoff, source, target
from tests.services.conftest import frankfurt, guangzhou, rule

__all__ = ["frankfurt", "guangzhou", "judge", "namespace", "quick_backoff", "rule", "source", "target"]
