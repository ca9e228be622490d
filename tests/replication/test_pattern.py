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
    ("expression", "fragment", "told"),
    [
        ("web/x(", "(", "at character 6: missing closing parenthesis"),
        ("(a|(b)", "(", "at character 1: missing closing parenthesis"),
        (r"[(]\(\Q(\E(", "(", "at character 11: missing closing parenthesis"),
        ("(?P<n>a", "(", "at character 1: missing closing parenthesis"),
        ("[(]a)", ")", "at character 5: closing parenthesis without an opening one"),
        ("[[:alpha:](]a)", ")", "at character 14: closing parenthesis without an opening one"),
        ("[a]b[a", "[a", "at character 5: missing closing bracket"),
        ("z-a[z-a]", "z-a", "at character 5: invalid range or class of characters"),
        (r"a\**b**", "**", "at character 6: repetition of a repetition"),
        (r"\*(*", "*", "at character 4: nothing to repeat before it"),
        ("*", "*", "at character 1: nothing to repeat before it"),
        ("a(?=b)", "(?=", "at character 2: unknown kind of group"),
        ("(?i)(?", "(?", "at character 5: unknown kind of group"),
        ("(?P=n)(?P", "(?P", "at character 1: unknown kind of group"),
        (r"(a)\1", r"\1", "at character 4: invalid escape sequence"),
        (r"\\q\q", r"\q", "at character 4: invalid escape sequence"),
        (r"é\é", r"\é", "at character 2: invalid escape sequence"),
        ("\\d\\", "\\", "at character 3: nothing follows the backslash"),
        ("a{2000}", "{2000}", "at character 2: invalid number of repetitions (at most 1000)"),
        ("((a{50}){50}){50}", "{50}", "at character 9: invalid number of repetitions (at most 1000)"),
    ],
)
def test_what_re2_does_not_know_is_refused_with_where_and_why(expression, fragment, told):
    with pytest.raises(InvalidExpression) as refused:
        compile_expression(expression)
    assert str(refused.value) == f"Not a regular expression in RE2 syntax: {told}."
    assert expression[refused.value.start : refused.value.end] == fragment
    assert refused.value.start == int(told.split(":")[0].split()[-1]) - 1


def test_one_that_is_too_long_breaks_nowhere():
    with pytest.raises(InvalidExpression, match=f"longer than {MAX_LENGTH} characters\\.") as refused:
        compile_expression("a" * (MAX_LENGTH + 1))
    assert refused.value.end == 0


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
