"""Markup that cannot forget to escape: text becomes `Html` only through `tag` and `escaped`."""

from html import escape


class Html(str):
    """Markup that is put into a page as it is."""

    __slots__ = ()


def escaped(content: object) -> Html:
    """Text as markup; what is `Html` already stays as it is.

    Names of files may hold bytes that are no text (lone surrogates); they are shown escaped.
    """
    if isinstance(content, Html):
        return content
    return Html(escape(str(content).encode("utf-8", "backslashreplace").decode()))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """An element; children and attribute values are escaped.

    Args:
        name: of the element.
        children: text, numbers or `Html`.
        attributes: an underscore at the end is dropped, others become hyphens (`class_`, `stroke_width`); None
            leaves an attribute out.
    """
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in ("img", "br", "meta"):
        return Html(f"<{name}{shown}>")
    return Html(f"<{name}{shown}>{joined(*children)}</{name}>")


def joined(*children: object) -> Html:
    """Pieces of text or markup one after the other."""
    return Html("".join(escaped(child) for child in children))
