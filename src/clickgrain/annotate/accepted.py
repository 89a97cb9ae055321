"""The objects of a project as targets: two thirds to learn from, a third to measure what that gained."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clickgrain.annotate.database import Database, Logs, ModelInfo
from clickgrain.annotate.gallery import Gallery
from clickgrain.annotate.models import model_folder
from clickgrain.annotate.project import find_project
from clickgrain.annotate.team import Changes
from clickgrain.errors import ClickgrainError, DataError
from clickgrain.tree.leaf_map import to_size
from clickgrain.types import Size, UInt8

if TYPE_CHECKING:
    from clickgrain.evaluation import Benchmark, Target
    from clickgrain.segmenter import Segmenter
    from clickgrain.training.accepted import Accepted

ENOUGH = 10  # objects before which nothing is learned from them
IMAGES = 9  # from so many images with objects on, every third of them measures; below, every third object
FEW = 5  # images below which the intervals are over objects: resampling three images says next to nothing
MAX_CLICKS, GOOD_IOU = 20, "NoC90"
RUN = "run.json"


@dataclass(frozen=True)
class Objects:
    """The objects of a project that people made or looked at, as targets called "photo.jpg#3".

    Left out are objects of *Whole image*, which were not checked one by one, and those whose file was replaced.
    """

    targets: "list[Target]"
    refused: "list[Target]"

    def split(self) -> "Accepted":
        """Two thirds to learn from, and a third to measure. Raises DataError: there are too few."""
        from clickgrain.evaluation import Benchmark
        from clickgrain.training.accepted import Accepted

        if len(self.targets) < ENOUGH:
            more = f"make {ENOUGH} or more (those of Whole image do not count)"
            raise DataError(f"{len(self.targets)} accepted objects are too few to learn from; {more}")
        images = list(dict.fromkeys(target.image_id for target in self.targets))
        parts = images if len(images) >= IMAGES else [target.id for target in self.targets]
        held = set(parts[2::3])
        apart = [target for target in self.targets if {target.id, target.image_id} & held]
        rest = [target for target in self.targets if not {target.id, target.image_id} & held]
        named = ((rest, "accepted"), (apart, "held out"), (self.refused, "refused"))
        return Accepted(*(Benchmark(name, targets) for targets, name in named))


def objects_of(gallery: Gallery, logs: Logs) -> Objects:
    """The objects of all images, and the candidates of *Find the same* that were refused."""
    from clickgrain.evaluation import Target

    def target(image: int, name: str, hash_: str) -> Target:
        def mask(size: Size) -> UInt8:
            return to_size(logs.mask(hash_), size).astype(np.uint8) * np.uint8(255)

        return Target(name, gallery.name(image), lambda: gallery.load(image).pixels, mask, lambda: hash_)

    objects, refused = list[Target](), list[Target]()
    for image in gallery.logged():
        if image in gallery.missing:
            continue
        try:
            document = logs.history(image).document
        except ClickgrainError:
            continue  # a damaged log; opening the image says so
        content = gallery.content(image)
        for item in document.objects:
            if item.mask and item.area and item.content in (None, content) and item.source != "partition":
                objects.append(target(image, f"{gallery.name(image)}#{item.id}", item.mask))
        for number, hash_ in enumerate(document.refused):
            refused.append(target(image, f"{gallery.name(image)}-{number}", hash_))
    return Objects(objects, refused)


@contextmanager
def objects_in(place: Path, ignore: tuple[str, ...] = ()) -> "Iterator[Objects]":
    """The objects of a project (its folder or file), which stays open meanwhile; DataError where there is none."""
    file, photos = find_project(place)
    with closing(Database(file)) as database:
        gallery = Gallery(photos, database, ignore)
        yield objects_of(gallery, Logs(database, gallery, Changes()))


def learned_from(model: ModelInfo) -> set[str]:
    """Names of the objects that a model was trained on; empty if it is not known to be."""
    try:
        run = json.loads((model_folder(model.source) / RUN).read_bytes())
        return set(map(str, run.get("objects", ())))
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return set()


def compare(
    old: "Segmenter",
    new: "Segmenter",
    held_out: "Benchmark",
    tell: Callable[[str, int, int], None] = lambda which, done, total: None,
) -> dict[str, Any]:
    """How many clicks a robot needs with two models to an IoU of 0.9, and the 95 % intervals.

    `held_out` are objects that neither was trained on; `tell` is called with the model ("old" or "new") and how
    many objects are done, of how many. Returns "objects", "images"; "old_clicks", "new_clicks" and their
    "old_interval" ..., the "difference" (below 0: fewer clicks with the new one) and its "interval"; "over", what
    was resampled for the intervals: images, or objects where these lie in few images; "rows": clicks by object.
    None without objects.
    """
    from clickgrain.evaluation import evaluate
    from clickgrain.evaluation.result import differences

    if not len(held_out):
        keys = ("old_clicks", "old_interval", "new_clicks", "new_interval", "difference", "interval", "over")
        return {"objects": 0, "images": 0, **dict.fromkeys(keys), "rows": []}
    results = [
        evaluate(segmenter, held_out, model=which, max_clicks=MAX_CLICKS, progress=partial(tell, which))
        for which, segmenter in (("old", old), ("new", new))
    ]
    images = len({row.image for row in results[0].rows})
    if images < FEW:
        results = [replace(one, rows=tuple(replace(row, image=row.id) for row in one.rows)) for one in results]
    report: dict[str, Any] = {"objects": len(results[0].rows), "images": images}
    for which, result in zip(("old", "new"), results):
        report[f"{which}_clicks"] = round(result.noc(0.9), 2)
        report[f"{which}_interval"] = _rounded(result.intervals.get(GOOD_IOU))
    change = differences(results[1], results[0])[GOOD_IOU]
    report |= {"difference": round(change.value, 2), "interval": _rounded(change.interval)}
    clicks = [dict(zip([row.id for row in one.rows], one.clicks_to(0.9).tolist())) for one in results]
    rows = [{"id": id_, "old": count, "new": clicks[1][id_]} for id_, count in clicks[0].items()]
    return {**report, "over": "objects" if images < FEW else "images", "rows": rows}


def _rounded(ends: tuple[float, float] | None) -> list[float] | None:
    return None if ends is None else [round(end, 2) for end in ends]
