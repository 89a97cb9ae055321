"""`clickgrain export` and `import`: annotations to and from other tools; `export-model`: a model as ONNX files."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from clickgrain.commands.console import say, say_all
from clickgrain.errors import ClickgrainError, ConfigError, DataError
from clickgrain.export.config import Existing, Format, Only, Photos
from clickgrain.files import atomic_write

if TYPE_CHECKING:
    from clickgrain.export.records import ImageRecord

LARGEST_FILE = 2_147_483_648


@dataclass(frozen=True)
class ExportArgs:
    """Write annotations in a format that other tools read."""

    # folder of photos that was annotated, or its project file.
    project: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PROJECT")]
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]  # folder for the files.
    # coco (JSON), semantic, instance or panoptic (PNG label maps), yolo (segmentation), labelme, label-studio,
    # geojson (map coordinates of GeoTIFFs), voc (boxes), datumaro (JSON).
    format: Format = "coco"
    polygons: bool = True  # for coco: polygons for masks without holes; otherwise run lengths for all.
    # for coco, yolo and geojson: how far in pixels polygons may leave the mask's edges; 0 is exact.
    tolerance: Annotated[float, tyro.conf.arg(metavar="PIXELS")] = 0.0
    only_done: bool = False  # only images that are marked done or checked.
    only_checked: bool = False  # only images that are marked checked.
    images: Photos = "none"  # for yolo: copy or link the photos to where data.yaml expects them.

    def __post_init__(self) -> None:
        if self.images != "none" and self.format != "yolo":
            raise ConfigError(f"--images {self.images} goes with --format yolo; {self.format} needs no photos")
        if not 0 <= self.tolerance <= 100:
            raise ConfigError(f"--tolerance {self.tolerance} is outside 0..100 pixels")


@dataclass(frozen=True)
class ImportArgs:
    """Import annotations into a project: COCO (panoptic, too), labelme, Label Studio, Datumaro, YOLO, or ZIPs."""

    # folder of the photos that were annotated.
    photos: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS")]
    # files, or folders, walked for JSON files and for the text files of YOLO.
    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    # file that holds the annotations; clickgrain.db next to the photos by default.
    project: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    done: bool = False  # mark the photos as done.
    # skip objects with the same pixels as an object of the photo, replace the photo's objects except locked ones,
    # or add all.
    existing: Existing = "skip"

    def __post_init__(self) -> None:
        if not self.files:
            raise ConfigError("nothing to import; name the files, e.g. clickgrain import photos annotations.json")


def export(args: ExportArgs) -> None:
    """Write the files; what was written on stdout, what was left out on stderr."""
    from clickgrain.annotate.project import open_project
    from clickgrain.annotate.transfer import image_records, label_records, locate_image
    from clickgrain.export.formats import export_files

    left_out, places, failed, count = list[str](), dict[str, str](), list[str](), 0
    with closing(open_project(args.project, model="tree")) as project:
        only: Only = "checked" if args.only_checked else "done" if args.only_done else "all"
        images = image_records(project, only=only, left_out=left_out)
        place = None if args.images == "none" else places.__setitem__
        files = export_files(
            args.format, images, label_records(project), left_out=left_out, polygons=args.polygons,
            tolerance=args.tolerance, place=place, locate=partial(locate_image, project),
            folder=project.gallery.folder.resolve().name,
        )  # fmt: skip
        for name, content in files:
            try:
                atomic_write(args.out / name, content)
                count += 1
            except OSError as error:
                failed.append(f"{args.out / name}: cannot be written ({error.strerror}); choose another --out")
        for image, name in places.items():
            try:
                with project.gallery.open(project.gallery.find(image) or 0) as photo:
                    target = args.out / name
                    if args.images == "copy":
                        atomic_write(target, photo.path.read_bytes())
                    else:
                        target.parent.mkdir(parents=True, exist_ok=True)
                        target.unlink(missing_ok=True)
                        target.symlink_to((project.gallery.folder / image).resolve())
            except (ClickgrainError, OSError) as error:
                failed.append(f"{args.out / name}: the photo cannot be brought along ({error})")
    if left_out or failed:
        say("\n".join([*left_out, *failed]), style="yellow")
    print(f"{count} files in {args.out}")
    if failed:
        raise DataError(f"{failed[0]}; {len(failed)} files are missing from the export")


def import_(args: ImportArgs) -> None:
    """Import the files; counts on stdout, what was left out on stderr. DataError if nothing or not all came in."""
    from clickgrain.annotate.project import Project
    from clickgrain.annotate.transfer import take_in

    totals = {"images": 0, "objects": 0, "labels": 0}
    missing = [path for path in args.files if not path.is_dir() and not path.is_file()]  # a pipe could block
    with closing(Project(args.photos, args.project, model="tree")) as project:
        for path in args.files:
            skipped = list[str]()
            for format_, images in () if path in missing else _read(path, skipped):
                found = take_in(project, images, format_, skipped, done=args.done, existing=args.existing)
                totals = {key: number + found[key] for key, number in totals.items()}
            if skipped:
                say("\n".join(skipped), style="yellow")
    print(f"{totals['objects']} objects in {totals['images']} images, {totals['labels']} new labels")
    if missing:
        raise DataError(f"{', '.join(map(str, missing))}: no such file or folder; the others were taken in")
    if not totals["images"]:
        raise DataError(f"nothing came in from {', '.join(map(str, args.files))}; the reasons are named above")


def _read(path: Path, skipped: list[str]) -> "Iterator[tuple[Format, list[ImageRecord]]]":
    """What a file or folder holds; a YOLO data set by its folder, its .yaml or one of its label files."""
    from clickgrain.export.formats import READ, file_beside, read_any, read_many

    files = [path]
    if path.is_file() and path.suffix.lower() not in READ[1:]:
        try:
            name = _whole(path)
            yield read_any(_content(path), name, skipped, partial(file_beside, _content, name))
        except (DataError, OSError) as error:
            skipped.append(str(error))
        return
    if path.suffix.lower() != ".txt" or path.is_dir():
        folder = path if path.is_dir() else path.parent
        below = sorted(file for file in folder.rglob("*") if file.suffix.lower() in READ and file.is_file())
        below = [file for file in below if not any(part[0] == "." for part in file.relative_to(folder).parts)]
        files = below if path.is_dir() else [path, *(file for file in below if file.suffix.lower() == ".txt")]
    if not any(file.suffix.lower() in READ[2:] or file.name == "classes.txt" for file in files):
        lists = [above / list_ for above in path.absolute().parents[:4] for list_ in ("data.yaml", "classes.txt")]
        files += [list_ for list_ in lists if list_.is_file()]
    if files == [path] and "labels" not in path.absolute().parts:
        skipped.append(f"{path}: a text file, but there is no data.yaml or classes.txt next to it or above it")
    yield from read_many({_whole(file): partial(_content, file) for file in files}, skipped, _content)


def _content(file: str | Path) -> bytes:
    if (size := Path(file).stat().st_size) > LARGEST_FILE:
        raise DataError(f"{file}: {size:,} bytes are too many for annotations; split it")
    return Path(file).read_bytes()


def _whole(file: Path) -> str:
    """Its absolute path: labelme's image paths are relative to its files."""
    return (file.parent.resolve() / file.name).as_posix()


@dataclass(frozen=True)
class ExportModelArgs:
    """Write a model as ONNX files (encoder and decoder) that answer clicks without torch."""

    # "default", a model folder or a Hugging Face id.
    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]  # folder for encoder.onnx, decoder.onnx and config.json.
    # fp32; fp16, half the size; int8, a third of it, for processors that compute it.
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    # for int8: photos like those that it will see, whose values set the ranges.
    photos: Annotated[
        Path | None,
        tyro.conf.arg(metavar="PHOTOS", help_behavior_hint="(default: six that come with scikit-image)"),
    ] = None

    def __post_init__(self) -> None:
        if self.photos is not None and self.precision != "int8":
            raise ConfigError(f"--photos is for --precision int8, not {self.precision}; leave one of them out")
        if (self.out / "model.safetensors").exists():
            raise ConfigError(f"--out {self.out} holds weights for torch; its config.json is theirs: name another")


def export_model(args: ExportModelArgs) -> None:
    """Load, export; one line about the files on stdout."""
    from clickgrain.models.onnx_export import export_onnx
    from clickgrain.models.registry import load_click_model

    notes: list[str] = []
    export_onnx(load_click_model(args.model), args.out, precision=args.precision, photos=args.photos, notes=notes)
    say_all(notes)
    size = sum(file.stat().st_size for file in args.out.glob("*.onnx"))
    print(f"{args.out} {args.precision} {size / 1e6:.1f} MB")
