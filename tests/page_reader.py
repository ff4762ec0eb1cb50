"""Reads a page as a browser without scripts would: its elements, attributes and text."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "br", "link", "img", "input", "hr"}


@dataclass
class Page:
    """What a page holds.

    Attributes:
        elements: each tag with its attributes, in order.
        text: all of it, styles and scripts aside.
        raw: the content of each style and script.
        ids: of elements.
        links: of `href` attributes.
        unclosed: tags that nobody closed, or that were closed out of order.
    """

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: str = ""
    raw: dict[str, list[str]] = field(default_factory=dict)
    unclosed: list[str] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [value for _, attributes in self.elements if (value := attributes.get("id"))]

    @property
    def links(self) -> list[str]:
        return [value for _, attributes in self.elements if (value := attributes.get("href"))]

    @property
    def policy(self) -> str:
        return next(
            attributes["content"] or ""
            for tag, attributes in self.elements
            if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
        )


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.page.unclosed.append(tag)

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("style", "script"):
            self.page.raw.setdefault(self._open[-1], []).append(data)
        else:
            self.page.text += data

    def finished(self) -> Page:
        self.close()
        self.page.unclosed += self._open
        return self.page


def read_page(path: Path) -> Page:
    """Parse a page."""
    parser = _Parser()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser.finished()
