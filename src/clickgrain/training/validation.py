"""Validation by clicks: NoC on proposals and on composites of photos that are not trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from clickgrain.evaluation import Benchmark, Result, evaluate
from clickgrain.proposals import draw_proposals
from clickgrain.segmenter import Segmenter
from clickgrain.training.args import DataArgs
from clickgrain.training.image_set import ImageSet
from clickgrain.tree import snap
from clickgrain.types import Bool, UInt8

Pair = tuple[UInt8, Bool]
"""An image and the mask that the robot user wants."""


@dataclass(frozen=True)
class Validation:
    """Targets on held-out pictures.

    Attributes:
        proposals: regions of their trees.
        composites: exact masks (none where the image set has no held-out composites).
        objects: salient objects (none where nobody looked for any).
        max_clicks: of the robot user.
        labelled: targets with masks of their own, where there are any.
    """

    proposals: list[Pair]
    composites: list[Pair]
    objects: list[Pair] = field(default_factory=list)
    max_clicks: int = 10
    labelled: Benchmark | None = None

    def run(self, segmenter: Segmenter, advance: Callable[[], None] = lambda: None) -> dict[str, Result]:
        """Results by kind of target."""
        pairs = {"proposals": self.proposals, "composites": self.composites, "objects": self.objects}
        kinds = {kind: Benchmark.of(found, kind) for kind, found in pairs.items() if found}
        if self.labelled is not None:
            kinds["labelled"] = self.labelled
        results = {}
        for kind, benchmark in kinds.items():
            results[kind] = evaluate(segmenter, benchmark, max_clicks=self.max_clicks)
            advance()
        return results


def split(image_set: ImageSet, data: DataArgs, seed: int) -> tuple[list[int], list[int]]:
    """(training, held-out) photos of an image set, by seed; an image set of one photo is used for both."""
    order = np.random.default_rng([seed, 0]).permutation(image_set.photos)
    held = min(max(round(data.held_out * image_set.photos), 1), 64)
    if image_set.photos == 1:
        return [0], [0]
    return sorted(int(i) for i in order[held:]), sorted(int(i) for i in order[:held])


def make_validation(
    image_set: ImageSet,
    held_out: Sequence[int],
    composites: Sequence[int],
    data: DataArgs,
    *,
    count: int,
    seed: int,
) -> Validation:
    """Targets for validation.

    Args:
        image_set: with the held-out photos.
        held_out: their indices.
        composites: numbers of composites that are made of held-out photos only.
        data: the law that proposals are drawn by.
        count: most targets of each kind.
        seed: of the drawing.
    """
    proposals: list[Pair] = []
    for i in range(count):
        picture = held_out[i % len(held_out)]
        tree, image = image_set.tree(picture), image_set.image(picture)
        rng = np.random.default_rng([seed, 6, i])
        node = int(draw_proposals(tree, rng, 1, data.law).nodes[0])
        mask = snap(tree.mask(node).astype(np.float32), image) > 0.5
        if mask.any():
            proposals.append((image, mask))
    pairs = [(image_set.image(i), image_set.mask(i) > 0.5) for i in composites[:count]]
    objects = [(image_set.image(i), image_set.mask(i) > 0.5) for i in held_out if i in image_set.objects][:count]
    return Validation(proposals, [pair for pair in pairs if pair[1].any()], objects)
