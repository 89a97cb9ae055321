"""From a folder and its proposal store to what a run trains and validates on."""

import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from clickgrain.errors import ImageError, StoreError, TrainingError
from clickgrain.features import FeatureExtractor
from clickgrain.files import atomic_write
from clickgrain.images import (
    MAX_PIXELS,
    ImageFile,
    ReadReport,
    find_images,
    list_images,
    read_images,
    resize_long_side,
)
from clickgrain.images.reader import decode
from clickgrain.progress import Progress
from clickgrain.proposals.cutouts import read_cutout
from clickgrain.proposals.objects import salient_object
from clickgrain.proposals.pipeline import shrunk
from clickgrain.proposals.store import ProposalStore
from clickgrain.training.composites import add_composites
from clickgrain.training.config import TrainArgs
from clickgrain.training.image_set import Entry, ImageSet, encode_mask
from clickgrain.training.validation import Validation, make_validation, split
from clickgrain.tree import build_tree
from clickgrain.types import Size, UInt8

CLOSEST, WIDEST = 6.0, 1.5  # a photo's long side over that of its smallest and its largest zoom crop
IN_ALL = 2000  # about the largest number of zoom crops, however many photos there are
OBJECTS = "objects.safetensors"
"""Cache of salient objects in a run's folder, so that a resumed run need not search again."""
VERSION = "1"  # raised when the same photo would give another object
SAVE_EVERY = 500

Found = dict[str, UInt8]  # photo -> its mask as the bytes of a PNG file; empty if the photo has no object


@dataclass(frozen=True)
class TrainingData:
    """What a run trains and validates on."""

    image_set: ImageSet  # photos, their zoom crops, and composites
    images: list[int]  # indices of those to train on; none shows a held-out photo
    validation: Validation  # targets on held-out photos
    failed: list[str]  # reasons why photos are left out


def choose_photos(
    photos: str | Path, store: ProposalStore, ignore: Sequence[str], extractor: str | None
) -> tuple[list[ImageFile], list[str]]:
    """Photos whose trees are in the store, from `extractor` if it is named; and why others are left out."""
    there = {file.key: file for file in list_images(photos, ignore=ignore)}
    files, failed = list[ImageFile](), list[str]()
    for meta in store.metas():
        if meta.key in there and extractor in (None, meta.extractor):
            files.append(there[meta.key])
        elif meta.key in there:
            failed.append(
                f"{there[meta.key]}: its tree comes from the extractor {meta.extractor!r}, not from"
                f" {extractor!r}; run `clickgrain propose` again, or name that one with --extractor"
            )
    return files, failed


def prepare(
    photos: Sequence[ImageFile],
    store: ProposalStore,
    args: TrainArgs,
    extractor: FeatureExtractor,  # gives the features of the trees of zoom crops and composites
    bar: Progress,  # shows the stages
    *,
    seed: int,  # of the split and all that is drawn
    cache: Path | None = None,  # file that remembers the objects
    cutouts: Path | None = None,  # folder of whole objects for the composites
    memory: float | None = None,  # bytes for images and trees, see `ImageSet`
) -> TrainingData:
    """Decode photos, cut zoom crops, find objects, hold some photos out, and make composites of either part.

    Raises TrainingError: if no photo is left, or no cutout.
    """
    data, threads, report = args.data, args.threads or torch.get_num_threads(), ReadReport()
    bar.start("photos", len(photos))
    crops = ZoomCrops(data.photo_side, data.tiles, len(photos), seed)
    image_set = load_image_set(
        photos, store, side=data.photo_side, advance=bar.advance, report=report, look=crops.look, memory=memory
    )
    train, held_out = split(image_set, data, seed)
    if crops.cut:
        bar.start("zoom crops", len(crops.cut))
        photo_of = add_zoom_crops(image_set, crops, extractor, threads=threads, advance=bar.advance)
        for part in (train, held_out):
            own = set(part)
            part += [crop for crop, photo in photo_of.items() if photo in own]
    if data.objects > 0:
        bar.start("objects", image_set.photos)
        find_objects(image_set, cache=cache, threads=threads, advance=bar.advance)
    count = round(data.composites_per_photo * len(train)) if data.composites > 0 else 0
    held = min(args.validation_targets, 4 * len(held_out)) if data.composites > 0 else 0
    files, bad = ([], []) if cutouts is None else usable_cutouts(cutouts)
    bar.start("composites", count + held)
    made = partial(
        add_composites, image_set, extractor=extractor, cutouts=files, share=data.cutouts, threads=threads,
        advance=bar.advance,
    )  # fmt: skip
    for_training = made(count=count, photos=train, seed=seed)
    for_validation = made(count=held, photos=held_out, seed=seed + 1)
    validation = make_validation(
        image_set, held_out, for_validation, data, count=args.validation_targets, seed=seed
    )
    failed = [*(reason for _, reason in report.bad), *bad]
    return TrainingData(image_set, [*train, *for_training], validation, failed)


def load_image_set(
    photos: Path | Sequence[ImageFile],  # or their folder
    store: ProposalStore,  # trees by relative path
    *,
    side: int,  # long side that images are shrunk to
    keys: Sequence[str] | None = None,  # only these photos
    advance: Callable[[], None] = lambda: None,  # called once per photo
    # notes the photos that cannot be read, or whose tree is damaged; they are left out
    report: ReadReport | None = None,
    # shown each photo before it is shrunk: its index in the image set, where it lies, H x W x 3 uint8
    look: Callable[[int, ImageFile, UInt8], None] = lambda number, file, image: None,
    memory: float | None = None,  # bytes, see `ImageSet`
) -> ImageSet:
    """Decode photos whose trees are in a store. Raises TrainingError: if no photo is left."""
    where = f" in {photos}" if isinstance(photos, Path) else ""
    if isinstance(photos, Path):
        photos = [ImageFile(key, str(photos / key)) for key in (store.keys() if keys is None else keys)]
    image_set, report = ImageSet(side, store, memory=memory), report or ReadReport()
    for file, image in read_images(photos, report=report):
        advance()
        try:
            store.tree(file.key)  # 1 ms; a damaged one would stop the training in the middle
        except StoreError as error:
            report.bad.append((file.key, str(error)))
            continue
        look(len(image_set), file, image)
        image_set.add(Entry(shrunk(image, side)), file.key, partial(_photo, file, side))
    if not len(image_set):
        why = f" ({report.bad[0][1]})" if report.bad else ""
        raise TrainingError(
            f"no photo of the store {store.path} can be read{where}{why}; run `clickgrain propose` again"
        )
    return image_set


def _photo(file: ImageFile, side: int) -> Entry:
    return Entry(shrunk(_read(file), side))


def _read(file: ImageFile) -> UInt8:
    with file.opened() as stream:
        return decode(stream, file, max_pixels=MAX_PIXELS)


@dataclass
class ZoomCrops:
    """Cuts zoom crops out of large photos as they are read.

    Photos are kept at 256 pixels. A cell of 40 pixels in a micrograph of 2,000 would be a single leaf there,
    nothing to learn from; and zoom (`clickgrain.models.zoom`) shows a model exactly such parts of an image.
    """

    side: int  # long side that images are kept at; photos of less than twice as much get no zoom crops
    most: int  # zoom crops of a photo; larger photos get more
    photos: int  # how many photos there are
    seed: int  # of where the crops lie
    # (index of the photo, where it lies, rows and columns of the crop) so far, and the crops, h x w x 3 uint8 with
    # `side` pixels on the long side
    places: list[tuple[int, ImageFile, tuple[slice, slice]]] = field(default_factory=list)
    cut: list[UInt8] = field(default_factory=list)

    def look(self, number: int, file: ImageFile, image: UInt8) -> None:
        """Cut crops out of the next photo, H x W x 3 uint8; they depend on the seed, its name and its size."""
        longest = max(image.shape[:2])
        if self.most == 0 or longest < 2 * self.side:
            return
        rng = np.random.default_rng([self.seed, 7, zlib.crc32(file.key.encode("utf-8", "surrogateescape"))])
        wanted = min(self.most, round(longest / self.side) - 1)
        chosen = rng.random(wanted) < IN_ALL / (self.photos * self.most)
        low, high = np.log([max(self.side, longest / CLOSEST), longest / WIDEST])
        for _ in range(int(chosen.sum())):
            extent = float(np.exp(rng.uniform(low, max(low, high))))
            height, width = (min(round(extent), length) for length in image.shape[:2])
            top = int(rng.integers(image.shape[0] - height + 1))
            left = int(rng.integers(image.shape[1] - width + 1))
            part = (slice(top, top + height), slice(left, left + width))
            self.places.append((number, file, part))
            self.cut.append(self.crop(image, part))

    def crop(self, image: UInt8, part: tuple[slice, slice]) -> UInt8:
        """Rows and columns of an image, with `side` pixels on the long side."""
        return np.ascontiguousarray(resize_long_side(image[part], self.side))


def add_zoom_crops(
    image_set: ImageSet,
    crops: ZoomCrops,
    extractor: FeatureExtractor,
    *,
    threads: int = 1,
    advance: Callable[[], None] = lambda: None,
) -> dict[int, int]:
    """Add zoom crops as photos with trees, after the others, and mark their photos as large.

    Returns the index of the photo of each crop by the crop's index.
    """

    def plant(crop: UInt8) -> Entry:
        return Entry(crop, build_tree(extractor(crop), crop.shape[:2]))

    def again(file: ImageFile, part: tuple[slice, slice]) -> Entry:
        return plant(crops.crop(_read(file), part))

    photo_of: dict[int, int] = {}
    with ThreadPoolExecutor(threads) as pool:
        planted = pool.map(plant, crops.cut)
        crops.cut = []
        for i, ((number, file, part), entry) in enumerate(zip(crops.places, planted)):
            name = f"{image_set.names[number]}#tile{i}"
            photo_of[image_set.add(entry, name, partial(again, file, part))] = number
            advance()
    image_set.large.update(photo_of.values())
    return photo_of


def find_objects(
    image_set: ImageSet, *, cache: Path | None = None, threads: int = 1, advance: Callable[[], None] = lambda: None
) -> None:
    """Enter the salient objects of an image set's photos into it; `cache` is the file of an earlier call."""
    found = {} if cache is None else load_objects(cache)
    keys = [object_key(image_set, i) for i in range(image_set.photos)]
    todo = [i for i, key in enumerate(keys) if not _fits(found.get(key), image_set.size(i))]
    for _ in range(len(keys) - len(todo)):
        advance()

    def search(i: int) -> UInt8 | None:
        try:
            mask = salient_object(image_set.image(i), image_set.tree(i))
        except (ImageError, StoreError):  # it cannot be read again
            return None
        return np.zeros(0, np.uint8) if mask is None else encode_mask((mask * 255).astype(np.uint8))

    for done, (i, mask) in enumerate(zip(todo, image_set.each(todo, search, threads)), 1):
        if mask is not None:
            found[keys[i]] = mask
        advance()
        if cache is not None and (done % SAVE_EVERY == 0 or done == len(todo)):
            save_objects(cache, {key: found[key] for key in keys if key in found})
    image_set.objects.update((i, found[key]) for i, key in enumerate(keys) if key in found and found[key].size)


def object_key(image_set: ImageSet, i: int) -> str:
    """Name and content of a photo: another image of the same name is searched again."""
    return f"{image_set.names[i]}:{image_set.seen(i)[1]:08x}"


def _fits(png: UInt8 | None, size: Size) -> bool:
    """Whether a cached mask can be decoded and has the photo's size, or says that there is no object."""
    if png is None or png.dtype != np.uint8 or png.ndim != 1:
        return False
    mask = cv2.imdecode(png, cv2.IMREAD_GRAYSCALE) if png.size else None
    return png.size == 0 or (mask is not None and mask.shape == size)


def load_objects(path: Path) -> Found:
    """The cached objects; empty for a missing or damaged file, or one of another version."""
    try:
        with safe_open(path, "numpy") as file:
            if (file.metadata() or {}).get("version") != VERSION:
                return {}
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return {}


def save_objects(path: Path, found: Found) -> None:
    """Write the cache whole or not at all."""
    atomic_write(path, save(found, {"version": VERSION}))


def usable_cutouts(folder: Path) -> tuple[list[Path], list[str]]:
    """The cutouts in a folder, and why the other images in it are none; TrainingError if there is no cutout."""
    usable, bad = list[Path](), list[str]()
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
