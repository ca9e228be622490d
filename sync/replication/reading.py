"""What an expression says, in words: only where the words are exactly what it matches."""

import re

_PLAIN = r"(?:[A-Za-z0-9_/-]|\\[./-])+"
_SHAPES = (
    (re.compile(rf"({_PLAIN})\.\*"), "begin with"),
    (re.compile(rf"\.\*({_PLAIN})"), "end with"),
    (re.compile(rf"\.\*({_PLAIN})\.\*"), "contain"),
)
MANY = {"tag": "tags", "repository": "repositories"}


def reading(expression: str, one: str) -> str:
    """Of an expression that compiles; blank for a blank one. one: "tag" or "repository"."""
    if not expression:
        return ""
    if expression in (".*", ".+"):
        return f"every {one}"
    parts = expression.split("|")
    if all(re.fullmatch(_PLAIN, part) for part in parts):
        *others, last = dict.fromkeys(map(_unescaped, parts))
        names = f"{', '.join(others)} or {last}" if others else last
        return f"{MANY[one]} named {names}"
    for shape, words in _SHAPES:
        if found := shape.fullmatch(expression):
            return f"names that {words} {_unescaped(found[1])}"
    return "names that match the expression as a whole"


def _unescaped(text: str) -> str:
    return text.replace("\\", "")
