import pytest

from sync.replication.pattern import MAX_LENGTH, InvalidExpression, Pattern, compile_expression


@pytest.mark.parametrize(
    ("include", "exclude", "name", "matches"),
    [
        ("", "", "anything/at-all", True),
        ("v1", "", "v1", True),
        ("v1", "", "v1.2", False),
        ("v1", "", "av1", False),
        ("v1.*", "", "v1.2", True),
        ("web/.*", "", "web/nginx", True),
        ("web/.*", "", "api/web/nginx", False),
        ("a|b", "", "b", True),
        ("a|b", "", "ab", False),
        ("v.*", ".*-rc\\d+", "v1.0-rc12", False),
        ("v.*", ".*-rc\\d+", "v1.0-rc", True),
        ("", "latest", "latest", False),
        ("", "latest", "latest-2", True),
        ("V1", "", "v1", False),
        ("(?i)V1", "", "v1", True),
    ],
)
def test_an_expression_is_matched_against_the_whole_name(include, exclude, name, matches):
    assert Pattern(include, exclude).matches(name) is matches


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("(", "missing )"),
        ("*", "no argument for repetition operator"),
        ("[z-a]", "invalid character class range"),
        ("a(?=b)", "invalid perl operator"),
        (r"(a)\1", "invalid escape sequence"),
        ("a{2000}", "invalid repetition size"),
        ("((a{100}){100}){100}", ""),
        ("a" * (MAX_LENGTH + 1), "longer than 500 characters"),
    ],
)
def test_what_re2_does_not_know_is_refused_with_a_sentence(expression, told):
    with pytest.raises(InvalidExpression) as refused:
        compile_expression(expression)
    assert told in str(refused.value)
    assert str(refused.value).endswith(".")
    assert "b'" not in str(refused.value)


@pytest.mark.timeout(5)
@pytest.mark.parametrize("expression", ["(a+)+", "(a|aa)+", "(.*a){20}", "(a|a?)+"])
def test_no_expression_takes_more_than_linear_time(expression):
    assert not Pattern(expression).matches("a" * 20_000 + "!")


@pytest.mark.parametrize(
    ("include", "exclude", "names"),
    [
        ("", "", None),
        ("nginx", "", ["nginx"]),
        ("web/nginx|web/api", "", ["web/nginx", "web/api"]),
        ("web/nginx|web/api", "web/a.*", ["web/nginx"]),
        (r"v1\.2|v1\-3", "", ["v1.2", "v1-3"]),
        ("v1.2", "", None),
        ("web/.*", "", None),
        ("web/(nginx|api)", "", None),
        ("web|", "", None),
        ("ngin+x", "", None),
        (r"\w", "", None),
        ("a_b-c", "", ["a_b-c"]),
    ],
)
def test_names_that_are_spelled_out_are_told_from_real_expressions(include, exclude, names):
    assert Pattern(include, exclude).literals() == names
