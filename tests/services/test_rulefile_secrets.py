"""Secrets of rule files go by reference: a variable, or a file."""

import re

from sync.models import Instance, SyncRule
from sync.services.configure import save_instance
from sync.services.rulefile import dump_rules, load_rules
from sync.services.rulefile.format import secret_variable
from tests.services.support import make_instance


def test_the_key_of_an_api_from_a_file(db, tmp_path):
    frankfurt = make_instance("frankfurt", "https://fra.example", kind="tcr")
    save_instance(frankfurt, "hunter2", "hunter4")
    path = tmp_path / "key"
    path.write_text("from a file\n")
    report = load_rules(re.sub(r"api_key_env: .*", f"api_key_file: {path}", dump_rules()))
    assert [change.details for change in report.changes] == [["api_key: changed"]]
    frankfurt.refresh_from_db()
    assert (frankfurt.password, frankfurt.api_key) == ("hunter2", "from a file")


def test_no_two_rules_share_a_variable():
    names = ["a", "a-b", "a.b", "a_b", "a-", "a--", "a.rule.b", "a-rule-b", "rule"]
    rules = [SyncRule(name=name, source=Instance(name=source)) for name in names for source in names]
    variables = {secret_variable(rule) for rule in rules}
    assert len(variables) == len(rules)
    assert all(re.fullmatch(r"TCRCONSOLE_WEBHOOK_[A-Za-z0-9_]+", variable) for variable in variables)


def test_no_two_instances_share_a_variable():
    names = ["a-b", "a.b", "a_b", "a--b", "a__b", "a..b", "a-.b", "a.-b", "a_.b", "a-dot-b", "a_dot_b", "a-low-b", "ab"]
    variables = {secret_variable(Instance(name=name)) for name in names}
    assert len(variables) == len(names)
    assert all(re.fullmatch(r"TCRCONSOLE_PASSWORD_[A-Za-z0-9_]+", variable) for variable in variables)
    assert secret_variable(Instance(name="prod-eu2")) == "TCRCONSOLE_PASSWORD_PROD_EU2"
    assert secret_variable(Instance(name="prod-eu2"), of_api=True) == "TCRCONSOLE_API_KEY_PROD_EU2"
