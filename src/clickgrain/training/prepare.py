"""From a folder and its proposal store to what a run trains and validates on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from clickgrain.features import FeatureExtractor
from clickgrain.images import ReadReport, find_images
from clickgrain.proposals import ProposalStore
from clickgrain.training.args import TrainArgs
from clickgrain.training.bank import Bank, load_bank, with_composites
from clickgrain.training.objects import with_objects
from clickgrain.training.progress import Progress
from clickgrain.training.tiles import Tiles, with_tiles
from clickgrain.training.validation import Validation, make_validation, split
from clickgrain.types import UInt8


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
    """A bank, the pictures to train on (photos and composites of them), and targets on held-out photos.

    `failed` says which photos are left out, and why.
    """

    bank: Bank
    pictures: list[int]
    validation: Validation
    failed: list[str]


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
) -> TrainingData:
    """Decode the photos, find the objects in them, keep some for validation, and make composites of either part.

    `cache` is a file that remembers the objects.

    Raises:
        TrainingError: if no photo is left.
    """
    threads = args.threads or torch.get_num_threads()
    bar.start("photos", len(photos.keys))
    report = ReadReport()
    tiles = Tiles(args.data.photo_side, args.data.tiles, len(photos.keys), seed)
    bank = load_bank(
        photos.folder,
        store,
        side=args.data.photo_side,
        keys=photos.keys,
        advance=bar.advance,
        report=report,
        look=tiles.look if args.data.tiles > 0 else _pass_over,
    )
    train, held_out = (_with_views(part, tiles, bank.photos) for part in split(bank, args.data, seed))
    if tiles.cut:
        bar.start("closer views", len(tiles.cut))
        bank = with_tiles(bank, tiles.cut, extractor, threads=threads, advance=bar.advance)
    if args.data.objects > 0:
        bar.start("objects", bank.photos)
        bank = with_objects(bank, cache=cache, threads=threads, advance=bar.advance)
    count = round(args.data.composites_per_photo * len(train)) if args.data.composites > 0 else 0
    held = min(args.validation_targets, 4 * len(held_out)) if args.data.composites > 0 else 0
    bar.start("composites", count + held)
    full = with_composites(bank, count, extractor, photos=train, seed=seed, threads=threads, advance=bar.advance)
    kept = with_composites(
        bank, held, extractor, photos=held_out, seed=seed + 1, threads=threads, advance=bar.advance
    )
    validation = make_validation(bank, held_out, kept, args.data, count=args.validation_targets, seed=seed)
    failed = [*photos.failed, *(reason for _, reason in report.bad)]
    return TrainingData(full, [*train, *range(full.photos, len(full.sizes))], validation, failed)


def _pass_over(number: int, name: str, image: UInt8) -> None:
    """No closer views are wanted."""


def _with_views(photos: list[int], tiles: Tiles, first: int) -> list[int]:
    """Photos of one part and their closer views, which begin at `first` in the bank."""
    own = set(photos)
    return [*photos, *(first + i for i, (number, _) in enumerate(tiles.cut) if number in own)]
