"""`Report`: sections of blocks, written as one file."""

from dataclasses import dataclass, field
from pathlib import Path

from clickgrain.errors import DataError
from clickgrain.evaluation.html.markup import Html, joined, tag
from clickgrain.evaluation.html.style import STYLE
from clickgrain.files import atomic_write

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""The browser itself holds the page to its promise."""


@dataclass
class Report:
    """A page that needs nothing but itself.

    Attributes:
        title: of the page.
        lead: one or two sentences below it.
        footer: at the very end.
    """

    title: str
    lead: str = ""
    footer: str = ""
    _sections: list[tuple[str, Html]] = field(default_factory=list)

    def add(self, heading: str, *blocks: Html) -> None:
        """Append a section; an empty heading makes one without."""
        self._sections.append((heading, joined(*blocks)))

    def html(self) -> str:
        """The page. Everything it shows is inside it."""
        head = joined(
            tag("meta", charset="utf-8"),
            tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            tag("title", self.title),
            tag("style", Html(STYLE)),
        )
        top = tag("header", tag("h1", self.title), tag("p", self.lead, class_="lead") if self.lead else "")
        sections = [self._section(*section) for section in self._sections]
        footer = tag("footer", self.footer) if self.footer else Html("")
        page = tag("html", tag("head", head), tag("body", tag("main", top, *sections, footer)), lang="en")
        return f"<!doctype html>\n{page}\n"

    def write(self, path: str | Path) -> Path:
        """Write the page whole or not at all, and return where it is.

        Raises:
            DataError: if the disk is full or the folder cannot be written.
        """
        path = Path(path)
        try:
            atomic_write(path, self.html().encode())
        except OSError as error:
            raise DataError(
                f"{path}: the report cannot be written ({error.strerror or error}); make room or choose another"
                " folder"
            ) from error
        return path.absolute()

    def _section(self, heading: str, content: Html) -> Html:
        return tag("section", tag("h2", heading) if heading else "", content)
