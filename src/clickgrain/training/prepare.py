"""From a folder and its proposal store to what a run trains and validates on."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from clickgrain.errors import ImageError, TrainingError
from clickgrain.features import FeatureExtractor
from clickgrain.images import ReadReport, find_images
from clickgrain.proposals import ProposalStore, read_cutout
from clickgrain.training.args import TrainArgs
from clickgrain.training.image_set import ImageSet, add_composites, load_image_set
from clickgrain.training.objects import find_objects
from clickgrain.training.preview import PREVIEWS
from clickgrain.training.progress import Progress
from clickgrain.training.tiles import Tiles, add_tiles
from clickgrain.training.validation import Validation, make_validation, split


@dataclass(frozen=True)
class Photos:
    """Photos that have trees.

    Attributes:
        folder: that the keys are relative to.
        keys: sorted by code point.
        failed: reasons why others are left out.
    """

    folder: Path
    keys: list[str]
    failed: list[str]


@dataclass(frozen=True)
class TrainingData:
    """An image set, the pictures to train on (photos and composites of them), and targets on held-out photos.

    `failed` says which photos are left out, and why.
    """

    image_set: ImageSet
    pictures: list[int]
    validation: Validation
    failed: list[str]


def ignored(photos: Path, out: Path, patterns: Sequence[str]) -> tuple[str, ...]:
    """The user's patterns, and the run's own preview pictures where its folder lies among the photos."""
    try:
        own = (out / PREVIEWS).resolve().relative_to(photos.resolve())
    except ValueError:
        return tuple(patterns)
    return (*patterns, glob.escape(own.as_posix()))


def choose_photos(photos: Path, store: ProposalStore, ignore: Sequence[str], extractor: str | None) -> Photos:
    """Photos that are both in the folder and in the store.

    Args:
        photos: folder (or one photo) that `propose` walked.
        store: its trees.
        ignore: patterns of files and folders to leave out.
        extractor: name of the extractor that trees must come from, or None for any.

    Raises:
        DataError: no such folder, or no image in it.
    """
    folder = photos if photos.is_dir() else photos.parent
    there = {path.relative_to(folder).as_posix() for path in find_images(photos, ignore=ignore)}
    metas = [meta for meta in store.metas() if meta.key in there]
    foreign = [meta for meta in metas if extractor is not None and meta.extractor != extractor]
    failed = [
        f"{folder / meta.key}: its tree comes from the extractor {meta.extractor!r}, not from {extractor!r};"
        " run `clickgrain propose` again, or name that one with --extractor"
        for meta in foreign
    ]
    left_out = {meta.key for meta in foreign}
    return Photos(folder, [meta.key for meta in metas if meta.key not in left_out], failed)


def prepare(
    photos: Photos,
    store: ProposalStore,
    args: TrainArgs,
    extractor: FeatureExtractor,
    bar: Progress,
    *,
    seed: int,
    cache: Path | None = None,
    cutouts: Path | None = None,
) -> TrainingData:
    """Decode the photos, find the objects in them, keep some for validation, and make composites of either part.

    `cache` is a file that remembers the objects, `cutouts` a folder of whole things for the composites.

    Raises:
        TrainingError: if no photo is left, or no cutout.
    """
    threads = args.threads or torch.get_num_threads()
    bar.start("photos", len(photos.keys))
    report = ReadReport()
    tiles = Tiles(args.data.photo_side, args.data.tiles, len(photos.keys), seed)
    image_set = load_image_set(
        photos.folder,
        store,
        side=args.data.photo_side,
        keys=photos.keys,
        advance=bar.advance,
        report=report,
        look=tiles.look,
    )
    train, held_out = split(image_set, args.data, seed)
    if tiles.cut:
        bar.start("closer views", len(tiles.cut))
        photo_of = add_tiles(image_set, tiles, extractor, threads=threads, advance=bar.advance)
        for part in (train, held_out):
            own = set(part)
            part += [view for view, photo in photo_of.items() if photo in own]
    if args.data.objects > 0:
        bar.start("objects", image_set.photos)
        find_objects(image_set, cache=cache, threads=threads, advance=bar.advance)
    count = round(args.data.composites_per_photo * len(train)) if args.data.composites > 0 else 0
    held = min(args.validation_targets, 4 * len(held_out)) if args.data.composites > 0 else 0
    things, bad = ([], []) if cutouts is None else usable_cutouts(cutouts)
    bar.start("composites", count + held)
    made = partial(
        add_composites, image_set, extractor=extractor, cutouts=things, share=args.data.cutouts, threads=threads,
        advance=bar.advance,
    )  # fmt: skip
    made_of_train, kept = (
        made(count=count, photos=train, seed=seed),
        made(count=held, photos=held_out, seed=seed + 1),
    )
    validation = make_validation(image_set, held_out, kept, args.data, count=args.validation_targets, seed=seed)
    failed = [*photos.failed, *(reason for _, reason in report.bad), *bad]
    return TrainingData(image_set, [*train, *made_of_train], validation, failed)


def usable_cutouts(folder: Path) -> tuple[list[Path], list[str]]:
    """The cutouts in a folder, and why the other images in it are none.

    Raises:
        DataError: no such folder, or no image in it.
        TrainingError: if none of its images is a cutout.
    """
    usable: list[Path] = []
    bad: list[str] = []
    for path in find_images(folder):
        try:
            read_cutout(path, 64)
            usable.append(path)
        except ImageError as error:
            bad.append(str(error))
    if not usable:
        raise TrainingError(
            f"none of the {len(bad)} images in {folder} is a cutout ({bad[0]}); give --cutouts a folder of RGBA"
            " images"
        )
    return usable, bad
