"""`clickgrain export` and `clickgrain import`: annotations to and from other tools."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from clickgrain.errors import ConfigError, DataError
from clickgrain.export.args import Format


@dataclass(frozen=True)
class ExportArgs:
    """Write annotations in a format that other tools read.

    Attributes:
        project: folder of photos that was annotated, or its project file.
        out: folder for the files.
        format: coco (JSON), semantic, instance or panoptic (PNG label maps), yolo (segmentation), labelme.
        polygons: of coco: polygons for masks without holes; otherwise run lengths for all.
        only_done: only images that are marked done.
    """

    project: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PROJECT")]
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    format: Format = "coco"
    polygons: bool = True
    only_done: bool = False


@dataclass(frozen=True)
class ImportArgs:
    """Take annotations of other tools into a project: COCO JSON, labelme JSON, or a ZIP of either.

    Attributes:
        photos: folder of the photos that were annotated.
        files: what to take in; for labelme also folders, walked for its JSON files.
        project: file that keeps the annotations; clickgrain.db beside the photos when not given.
        done: mark the photos as done.
    """

    photos: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS")]
    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    project: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    done: bool = False

    def __post_init__(self) -> None:
        if not self.files:
            raise ConfigError("nothing to import; name the files, e.g. clickgrain import photos annotations.json")


def export(args: ExportArgs) -> None:
    """Write the files; what was written on stdout."""
    from clickgrain.annotate.opening import open_project
    from clickgrain.annotate.transfer import image_records, label_records
    from clickgrain.export.formats import export_files
    from clickgrain.files import atomic_write

    project = open_project(args.project, model="tree")
    try:
        records = image_records(project, only_done=args.only_done)
        count = 0
        for name, content in export_files(args.format, records, label_records(project), polygons=args.polygons):
            try:
                atomic_write(args.out / name, content)
            except OSError as error:
                raise DataError(
                    f"{args.out / name}: cannot be written ({error.strerror}); choose another --out"
                ) from error
            count += 1
    finally:
        project.close()
    print(f"{count} files in {args.out}")


def import_(args: ImportArgs) -> None:
    """Take the files in; counts on stdout, what was left out on stderr."""
    from clickgrain.annotate.project import Project
    from clickgrain.annotate.transfer import take_in
    from clickgrain.commands.console import say_all
    from clickgrain.export.formats import read_any

    totals, skipped = {"images": 0, "objects": 0, "labels": 0}, list[str]()
    project = Project(args.photos, args.project, model="tree")
    try:
        for path in _files(args.files):
            try:
                format_, images = read_any(path.read_bytes(), _name(path, args.photos), skipped)
            except (DataError, OSError) as error:
                skipped.append(str(error))
                continue
            for key, number in take_in(project, images, format_, skipped, done=args.done).items():
                totals[key] += number
    finally:
        project.close()
    say_all(skipped)
    print(f"{totals['objects']} objects in {totals['images']} images, {totals['labels']} new labels")


def _files(given: tuple[Path, ...]) -> list[Path]:
    return [found for path in given for found in (sorted(path.rglob("*.json")) if path.is_dir() else [path])]


def _name(path: Path, photos: Path) -> str:
    """Relative to the photos where it lies among them: labelme's image paths are relative to its files."""
    try:
        return path.resolve().relative_to(photos.resolve()).as_posix()
    except ValueError:
        return path.name
