"""From what a user types to a project: a folder of photos, or a project file that remembers its folder."""

from contextlib import closing
from pathlib import Path

from clickgrain.annotate.database import Database
from clickgrain.annotate.project import Project
from clickgrain.errors import DataError


def open_project(place: Path, *, model: str | None = None, device: str = "cpu") -> Project:
    """An existing project.

    Args:
        place: folder of photos with a `clickgrain.db`, or a project file.
        model: as in `Project`.
        device: torch device.

    Raises:
        DataError: there is no project.
    """
    file = place / "clickgrain.db" if place.is_dir() else place
    if not file.is_file():
        raise DataError(f"{file}: no project; make one with `clickgrain annotate PHOTOS`, or name its file")
    with closing(Database(file.absolute())) as database:
        known = database.setting("photos")
    try:
        remembered = None if known is None else Path(bytes.fromhex(known).decode("utf-8", "surrogateescape"))
    except ValueError:
        raise DataError(f"{file}: its folder of photos is {known!r}, no path; restore a copy of the file") from None
    photos = place if place.is_dir() else remembered or file.parent
    if not photos.exists():
        raise DataError(
            f"{photos}: the photos of {file} are gone; run `clickgrain annotate PHOTOS --project {file}`"
        )
    return Project(photos, file, model=model, device=device)
