"""Expressions: regular expressions in RE2 syntax, matched against the whole name.

RE2 matches in time linear in the name, whatever a person types. A blank including expression means every name,
a blank excluding one means none.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import re2

MAX_LENGTH = 500
_MEMORY_BYTES = 1 << 20


class InvalidExpression(ValueError):
    """The expression does not compile; the message says why, in a sentence."""


@lru_cache(maxsize=1000)
def compile_expression(expression: str) -> "re2._Regexp":
    """Compiles one expression; raises InvalidExpression."""
    if len(expression) > MAX_LENGTH:
        raise InvalidExpression(f"The expression is longer than {MAX_LENGTH} characters.")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error.args[0])
        raise InvalidExpression(f"Not a regular expression in RE2 syntax: {reason}.") from None


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
