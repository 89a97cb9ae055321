"""Validation by clicks on held-out photos: NoC by kind of target, and a preview image."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np

from clickgrain.clicks.robot import next_click
from clickgrain.cut import cut_region
from clickgrain.errors import ImageError, StoreError, TrainingError
from clickgrain.evaluation import Benchmark, Result, evaluate
from clickgrain.evaluation.drawing import overlay
from clickgrain.files import write_or_raise
from clickgrain.models.base import ClickModel
from clickgrain.models.registry import engine_for
from clickgrain.segmenter import Segmenter
from clickgrain.training.config import DataArgs
from clickgrain.training.image_set import ImageSet, RegionKind
from clickgrain.types import Bool, UInt8

PREVIEWS = "previews"  # sub-folder of a run's folder
TILE = 192
MOST_CLICKS = 10  # of the robot user
CLICKS = (1, 3, 5)

Pair = tuple[UInt8, Bool]  # an image and the target mask of the robot user


@dataclass(frozen=True)
class Validation:
    """Targets on held-out images."""

    proposals: list[Pair]  # nodes of the trees that the click maps show
    composites: list[Pair]  # exact masks; empty without held-out composites
    # salient objects; empty where training does not search for them
    objects: list[Pair] = field(default_factory=list)
    # regions that the click maps cannot show, as objects are; empty if training draws none either
    hidden: list[Pair] = field(default_factory=list)
    labelled: Benchmark | None = None  # targets with masks of their own, or None

    def run(self, segmenter: Segmenter) -> dict[str, Result]:
        """Results by kind of target."""
        kinds = ("proposals", "hidden", "composites", "objects")
        benchmarks = {kind: Benchmark.of(getattr(self, kind), kind) for kind in kinds if getattr(self, kind)}
        if self.labelled is not None:
            benchmarks["labelled"] = self.labelled
        return {kind: evaluate(segmenter, own, max_clicks=MOST_CLICKS) for kind, own in benchmarks.items()}


def split(image_set: ImageSet, data: DataArgs, seed: int) -> tuple[list[int], list[int]]:
    """(training, held-out) photos of an image set, by seed; an image set of one photo is used for both."""
    order = np.random.default_rng([seed, 0]).permutation(image_set.photos)
    held = min(max(round(data.held_out * image_set.photos), 1), 64)
    if image_set.photos == 1:
        return [0], [0]
    return sorted(int(i) for i in order[held:]), sorted(int(i) for i in order[:held])


def make_validation(
    image_set: ImageSet,
    held_out: Sequence[int],  # their indices
    composites: Sequence[int],  # indices of composites that are made of held-out photos only
    data: DataArgs,  # has the sampler of the proposals
    *,
    count: int,  # most targets of each kind
    seed: int,
) -> Validation:
    """Targets for validation."""
    found: dict[RegionKind, list[Pair]] = {"features": [], "hidden": []}
    kinds: Sequence[RegionKind] = ("features", "hidden") if data.hidden > 0 else ("features",)
    for i, photo in zip(range(count), cycle(held_out)):
        with suppress(ImageError, StoreError):  # it cannot be read again
            image = image_set.image(photo)
            for kind in kinds:
                source = image_set.source(photo, kind)
                for target in source.draw(np.random.default_rng([seed, 6, i]), 1, data.sampler):
                    mask = target.mask > 0.5 if source.exact else cut_region(target.mask, image)
                    found[kind] += [(image, mask)] if mask.any() else []

    def exact(images: Sequence[int]) -> Iterator[Pair]:
        for i in images[:count]:
            with suppress(ImageError, StoreError):
                yield image_set.image(i), image_set.mask(i) > 0.5

    made = [(image, mask) for image, mask in exact(composites) if mask.any()]
    salient = list(exact([i for i in held_out if i in image_set.objects]))
    return Validation(found["features"], made, salient, found["hidden"])


class ClickValidator:
    """Clicks held-out targets with the current model, and writes a preview image."""

    def __init__(self, validation: Validation, out: Path, device: str) -> None:
        self.validation, self.out, self.device = validation, out, device

    def __call__(self, model: ClickModel, step: int) -> dict[str, float]:
        """NoC@85 and mIoU@1 per kind of target."""
        segmenter = Segmenter(engine_for(model, device=self.device), "validation")
        metrics: dict[str, float] = {}
        for kind, result in self.validation.run(segmenter).items():
            metrics |= {f"{kind} NoC85": result.noc(0.85), f"{kind} mIoU@1": result.iou_at(1)}
        pairs = [*self.validation.composites[:3], *self.validation.proposals[:3]]
        if pairs:
            write_preview(self.out / PREVIEWS / f"step-{step:06d}.png", segmenter, pairs)
        return metrics


def write_preview(path: Path, segmenter: Segmenter, pairs: Sequence[Pair]) -> None:
    """A PNG with one row per target: the wanted mask, then the answers after 1, 3 and 5 robot clicks."""
    rows = [np.concatenate(_row(segmenter, image, target), axis=1) for image, target in pairs]
    _, encoded = cv2.imencode(".png", np.concatenate(rows)[..., ::-1])
    advice = "free some space or choose another --out (the last training state is still there)"
    write_or_raise(path, encoded.tobytes(), TrainingError, advice)


def _row(segmenter: Segmenter, image: UInt8, target: Bool) -> list[UInt8]:
    tiles = [_tile(image, target, [])]
    encoded = segmenter.encode(image)
    clicks: list[tuple[int, int, int]] = []
    mask, shown = None, np.zeros_like(target)
    for count in range(1, max(CLICKS) + 1):
        click = next_click(target, shown, np.array([c[:2] for c in clicks]).reshape(-1, 2))
        if click is not None:
            clicks.append(click)
            points, labels = [c[:2] for c in clicks], [c[2] for c in clicks]
            mask = segmenter.predict(points, labels, previous=mask, encoded=encoded)
            shown = mask.binary
        if count in CLICKS:
            tiles.append(_tile(image, shown, clicks))
    return tiles


def _tile(image: UInt8, mask: Bool, clicks: Sequence[tuple[int, int, int]]) -> UInt8:
    """TILE x TILE x 3: the image, darkened outside the mask, with its outline and the clicks."""
    shown = overlay(np.where(mask[..., None], image, image // 3), clicks=clicks, target=mask, long_side=TILE)
    return np.pad(shown, ((0, TILE - shown.shape[0]), (0, TILE - shown.shape[1]), (0, 0)))
