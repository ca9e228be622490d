"""Reading answers as a browser would, by elements."""

from collections.abc import Iterator
from typing import Any

from django.test.html import Element, parse_html


def elements(html: str, *names: str) -> Iterator[Element]:
    """Elements of these names in order, all of them without names. Fails on markup that is not closed rightly."""
    waiting: list[Any] = [parse_html(html.replace("<!doctype html>", ""))]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, Element):
            if node.name and (not names or node.name in names):
                yield node
            waiting[:0] = node.children


def attributes(element: Element) -> dict[str, str]:
    return {name: value or "" for name, value in element.attributes}


def words(element: Element | str) -> str:
    """The text inside, white space as one blank."""
    inside = element if isinstance(element, str) else " ".join(words(child) for child in element.children)
    return " ".join(inside.split())


def texts(html: str, *names: str) -> list[str]:
    return [words(element) for element in elements(html, *names)]


def by_id(html: str, name: str) -> Element:
    return next(element for element in elements(html) if attributes(element).get("id") == name)
