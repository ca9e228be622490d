"""Expressions: regular expressions in RE2 syntax, matched against the whole name.

RE2 matches in time linear in the name, whatever a person types. A blank including expression means every name,
a blank excluding one means none.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import re2

from sync.replication import broken

MAX_LENGTH = 500
_MEMORY_BYTES = 1 << 20


class InvalidExpression(ValueError):
    """The expression does not compile; the message says why, in a sentence.

    What breaks it is expression[start:end], blank where that is unknown.
    """

    def __init__(self, message: str, start: int = 0, end: int = 0) -> None:
        super().__init__(message)
        self.start = start
        self.end = end


@lru_cache(maxsize=1000)
def compile_expression(expression: str) -> "re2._Regexp":
    """Compiles one expression; raises InvalidExpression."""
    if len(expression) > MAX_LENGTH:
        raise InvalidExpression(f"The expression is longer than {MAX_LENGTH} characters.")
    try:
        return _compile(expression)
    except re2.error as error:
        why = broken.find(expression, _told(error), _refusal)
        raise InvalidExpression(f"Not a regular expression in RE2 syntax: {why.words}.", why.start, why.end) from None


def _compile(expression: str) -> "re2._Regexp":
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES
    return re2.compile(expression, options)


def _refusal(expression: str) -> str:
    try:
        _compile(expression)
    except re2.error as error:
        return _told(error)
    return ""


def _told(error: Exception) -> str:
    told = error.args[0]
    return told.decode(errors="replace") if isinstance(told, bytes) else str(told)


@dataclass(frozen=True)
class Pattern:
    """An including and an excluding expression over names."""

    include: str = ""
    exclude: str = ""

    def matches(self, name: str) -> bool:
        if self.include and not compile_expression(self.include).fullmatch(name):
            return False
        return not (self.exclude and compile_expression(self.exclude).fullmatch(name))

    def literals(self) -> list[str] | None:
        """The names that the including expression spells out (`web/nginx|web/api`), None if it is a real one.

        With these a rule works against a registry that lists nothing.
        """
        if not self.include:
            return None
        parts = [part.replace(r"\.", ".").replace(r"\-", "-") for part in self.include.split("|")]
        spelled = all(re.fullmatch(r"[\w./-]+", part, re.ASCII) for part in parts)
        bare_dot = re.search(r"(?<!\\)\.", self.include)
        if not spelled or bare_dot:
            return None
        return [part for part in parts if self.matches(part)]
