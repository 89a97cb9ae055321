"""What several commands do with their flags."""

import re
from pathlib import Path

from clickgrain.errors import ConfigError, DataError
from clickgrain.files import atomic_write


def parse_data(text: str) -> tuple[str, Path]:
    """ "NAME=DIR" as its two parts.

    Raises:
        ConfigError: for anything else.
    """
    name, _, folder = text.partition("=")
    if not name.strip() or not folder:
        raise ConfigError(f"--data {text!r} is not NAME=DIR; write e.g. mine=photos/eval")
    return name.strip(), Path(folder).expanduser()


def check_limit(limit: int | None) -> None:
    """Refuse a number of targets below 1 with a ConfigError."""
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit {limit} leaves no target; give 1 or more, or leave it out for all")


def save_json(path: Path, text: str) -> None:
    """Write a result, whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    try:
        atomic_write(path, text.encode())
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}); choose another place with --out") from error


def file_name(text: str) -> str:
    """A name for a file: letters, digits and a few signs, whatever `text` holds."""
    return re.sub(r"[^\w.@-]+", "-", text).strip("-")
