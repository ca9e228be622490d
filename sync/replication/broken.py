"""Where an expression breaks. RE2 tells the fragment that it does not take; here it is found in the expression."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

UNCLOSED, UNOPENED, UNCLOSED_CLASS, TRAILING = "missing )", "unexpected )", "missing ]", "trailing \\"
# Each by what RE2 calls it; what is not here is told in its own words.
WORDS = {
    UNCLOSED: "missing closing parenthesis",
    UNOPENED: "closing parenthesis without an opening one",
    UNCLOSED_CLASS: "missing closing bracket",
    TRAILING: "nothing follows the backslash",
    "no argument for repetition operator": "nothing to repeat before it",
    "bad repetition operator": "repetition of a repetition",
    "invalid repetition size": "invalid number of repetitions (at most 1000)",
    "invalid character class range": "invalid range or class of characters",
    "invalid escape sequence": "invalid escape sequence",
    "invalid perl operator": "unknown kind of group",
    "invalid named capture group": "invalid name of a group",
}
# What hides parentheses: escapes, quotations, classes (in which a first bracket stands for itself).
_PIECES = re.compile(r"\\Q.*?(?:\\E|\Z)|\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|.", re.DOTALL)


@dataclass(frozen=True)
class Broken:
    """`words` say why, and at which character; expression[start:end] is what breaks it, blank where that is unknown."""

    words: str
    start: int = 0
    end: int = 0


def find(expression: str, message: str, refusal: Callable[[str], str]) -> Broken:
    """From RE2's message. refusal: what RE2 says of another expression, blank when it takes it."""
    name, _, fragment = message.partition(": ")
    start, end = _span(expression, name, fragment, lambda prefix: refusal(prefix) == message)
    reason = WORDS.get(name)
    if start == end:
        return Broken(reason or message)
    return Broken(f"at character {start + 1}: {reason or name}", start, end)


def _span(expression: str, name: str, fragment: str, breaks_alike: Callable[[str], bool]) -> tuple[int, int]:
    """(0, 0): unknown."""
    if name in (UNCLOSED, UNOPENED):
        return _parenthesis(expression, name)
    if name == TRAILING:
        return len(expression) - 1, len(expression)
    if not fragment:
        return 0, 0
    if name == UNCLOSED_CLASS:  # the fragment is all the rest
        return (len(expression) - len(fragment), len(expression)) if expression.endswith(fragment) else (0, 0)
    places = [(at, at + len(fragment)) for at in _occurrences(expression, fragment)]
    if len(places) > 1:
        # RE2 reads from left to right: from where it breaks, whatever follows, every longer part breaks alike.
        read = len(expression)
        while breaks_alike(expression[: read - 1]):
            read -= 1
        places = [place for place in places if place[1] <= read]
    return places[-1] if places else (0, 0)


def _occurrences(expression: str, fragment: str) -> Iterator[int]:
    at = expression.find(fragment)
    while at >= 0:
        yield at
        at = expression.find(fragment, at + 1)


def _parenthesis(expression: str, name: str) -> tuple[int, int]:
    """The last one that is never closed, or the first that was never opened."""
    opened: list[int] = []
    for piece in _PIECES.finditer(expression):
        at = piece.start()
        if piece[0] == "(":
            opened.append(at)
        elif piece[0] == ")" and opened:
            opened.pop()
        elif piece[0] == ")":
            return (at, at + 1) if name == UNOPENED else (0, 0)
    return (opened[-1], opened[-1] + 1) if opened and name == UNCLOSED else (0, 0)
