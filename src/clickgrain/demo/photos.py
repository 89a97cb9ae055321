"""The photos of the demo: those that lie in scikit-image's wheel."""

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from clickgrain.errors import DataError
from clickgrain.files import atomic_write


@dataclass(frozen=True)
class DemoPhoto:
    """One bundled photo.

    Attributes:
        file: its name in scikit-image's data folder.
        click: where its tree is clicked for the report, as parts (x, y) of width and height, or None: not shown.
        level: of the region that this click asks for.
    """

    file: str
    click: tuple[float, float] | None = None
    level: float = 0.6


LEARN = (
    DemoPhoto("chelsea.png", (0.365, 0.30), 0.7),
    DemoPhoto("rocket.jpg", (0.50, 0.60), 0.8),
    DemoPhoto("ihc.png", (0.62, 0.72), 0.8),
    DemoPhoto("hubble_deep_field.jpg"),
    DemoPhoto("retina.jpg"),
)
"""Trained on."""

HELD_OUT = (DemoPhoto("astronaut.png"), DemoPhoto("coffee.png"), DemoPhoto("motorcycle_left.png"))
"""Never trained on; the targets are made of these alone."""


def copy_photos(photos: tuple[DemoPhoto, ...], folder: Path) -> list[DemoPhoto]:
    """Copy photos into a folder, unless they are there; returns those that this scikit-image has.

    Raises:
        DataError: if it has fewer than two of them, or the folder cannot be written.
    """
    found = []
    for photo in photos:
        source = files("skimage") / "data" / photo.file
        if not source.is_file():
            continue
        found.append(photo)
        target = folder / photo.file
        try:
            with as_file(source) as path:
                if not target.exists() or target.stat().st_size != path.stat().st_size:
                    atomic_write(target, path.read_bytes())
        except OSError as error:
            raise DataError(
                f"{target}: cannot be written ({error.strerror or error}); make room or choose another --out"
            ) from error
    if len(found) < 2:
        raise DataError(
            f"the installed scikit-image lacks {photos[0].file} and others of its photos; reinstall it:"
            " pip install --force-reinstall scikit-image"
        )
    return found
