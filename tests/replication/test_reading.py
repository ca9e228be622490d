import pytest

from sync.replication.pattern import Pattern
from sync.replication.reading import reading

NAMES = ["v1", "v2", "v1.2", "v1x2", "web-", "web-a", "a-debug", "-debug", "x.y", "xzy", "axyb", "latest", "V1", "a/b"]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", ""),
        (".*", "every tag"),
        (".+", "every tag"),
        ("v1", "tags named v1"),
        ("v1|v2", "tags named v1 or v2"),
        ("a|b|a|c", "tags named a, b or c"),
        (r"v1\.2|v1\-3", "tags named v1.2 or v1-3"),
        ("web-.*", "names that begin with web-"),
        (r"v1\..*", "names that begin with v1."),
        (".*-debug", "names that end with -debug"),
        (".*rc.*", "names that contain rc"),
        ("v1.2", "names that match the expression as a whole"),
        ("v1|", "names that match the expression as a whole"),
        ("v.*|w", "names that match the expression as a whole"),
        ("(?i)v1", "names that match the expression as a whole"),
        (r"\d+", "names that match the expression as a whole"),
        ("a.*b", "names that match the expression as a whole"),
        ("web-.+", "names that match the expression as a whole"),
    ],
)
def test_what_an_expression_says(expression, words):
    assert reading(expression, "tag") == words


def test_repositories_are_called_so():
    assert reading("web/nginx|api", "repository") == "repositories named web/nginx or api"
    assert reading(".*", "repository") == "every repository"


@pytest.mark.parametrize(
    "expression", ["v1|v2", r"v1\.2", "web-.*", r"x\..*", ".*-debug", ".*y", ".*xy.*", ".*", "v1.*"]
)
def test_the_words_are_what_it_matches(expression):
    words = reading(expression, "tag")
    means = {
        "named": lambda name, told: name in told.replace(", ", " or ").split(" or "),
        "begin with": lambda name, told: name.startswith(told),
        "end with": lambda name, told: name.endswith(told),
        "contain": lambda name, told: told in name,
        "every tag": lambda *_: True,
    }
    verb = next(verb for verb in means if verb in words)
    told = words.partition(verb)[2].strip()
    assert [name for name in NAMES if Pattern(expression).matches(name)] == [
        name for name in NAMES if means[verb](name, told)
    ]
