"""What a browser would make of a page: which elements, which attributes, which text."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

VOID = {"link", "meta", "input", "br", "img", "hr", "use", "path"}


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.text = ""
        self.inline_scripts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs), tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self.open[-1:] in (["script"], ["style"]):
            if data.strip():
                self.inline_scripts.append(data)
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes, _ in self.elements if name == tag]

    def handlers(self) -> list[str]:
        """Attributes that are code or style, or lead to code."""
        return [
            f"{tag} {name}={value}"
            for tag, attributes, _ in self.elements
            for name, value in attributes.items()
            if name.startswith("on") or name in ("style", "srcdoc") or (value or "").strip().startswith("javascript:")
        ]
