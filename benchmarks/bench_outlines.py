"""How well regions of trees are outlined: `python -m benchmarks.bench_outlines [--data NAME=DIR]`.

For every object, the best region of each kind of tree, if its IoU is .6 or more: its outline by leaves, by the leaf
map (what hovering shows), by a guided filter, and by the cut (`clickgrain.cut.cut_region`: targets of training,
*Find the same*). Images are shrunk to `--side` pixels, as training does. Prints the mean IoU with the objects, and
the share over .85. Without `--data` it draws micrographs as `bench_foreign` does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro

from benchmarks.bench_foreign import Args as Domain
from benchmarks.bench_foreign import draw_domain
from clickgrain.annotate.masks import iou
from clickgrain.cut import cut_region
from clickgrain.evaluation import Benchmark, load_benchmark
from clickgrain.features import FeatureExtractor, load_extractor
from clickgrain.features.registry import default_extractor
from clickgrain.images import resize_long_side
from clickgrain.training.regions import hidden_regions
from clickgrain.tree import MergeTree, build_tree, edge_tree, semantic_cells, semantic_tree
from clickgrain.tree.leaf_map import leaf_map, node_mask
from clickgrain.types import Bool, Float, UInt8

LEAST = 0.6  # IoU from which on a region is meant for an object
OUTLINES = ("leaves", "leaf map", "guided filter", "cut")


@dataclass(frozen=True)
class Args:
    """On what.

    Attributes:
        data: NAME=DIR of a benchmark; drawn micrographs when None.
        out: folder for drawn images.
        images: at most so many.
        side: long side in pixels that images are shrunk to.
    """

    data: str | None = None
    out: Path = Path("outlines")
    images: int = 60
    side: int = 256


def main(args: Args) -> None:
    """Print a line per kind of tree."""
    if args.data is None:
        domain = draw_domain(Domain(args.out, photos=1, images=args.images, cells=20, nuclei=20))
        benchmark = load_benchmark("cells", domain[1])
    else:
        benchmark = load_benchmark(*args.data.split("=", 1))
    rows, extractor = dict[str, list[list[float]]](), load_extractor(default_extractor())
    for image, masks in images_with_masks(benchmark, args):
        for name, tree in trees(image, extractor).items():
            leaves = leaf_map(tree, image)
            for mask in masks:
                region = best_region(tree, mask)
                if region is None:
                    continue
                soft = tree.mask(region).astype(np.float32)
                found = (
                    cv2.resize(soft, mask.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.5,
                    node_mask(tree, leaves, region, (mask.shape[0], mask.shape[1])),
                    tree.upsample(region, image) > 0.5,
                    cut_region(soft, image),
                )
                rows.setdefault(name, []).append([iou(one, mask) for one in found])
    print(f"{benchmark.name}: mean IoU of regions with an object / share over .85, by {', '.join(OUTLINES)}")
    for name, values in rows.items():
        ious = np.array(values)
        means = (f"{mean:.3f} / {good:.2f}" for mean, good in zip(ious.mean(0), (ious > 0.85).mean(0)))
        print(f"{name:9s} {len(ious):4d} regions  " + "   ".join(means))


def images_with_masks(benchmark: Benchmark, args: Args) -> Iterator[tuple[UInt8, list[Bool]]]:
    """Images and their objects at the size that is compared."""
    for number, group in enumerate(benchmark.by_image()):
        if number == args.images:
            return
        image = group[0].image()
        small = resize_long_side(image, args.side)
        masks = [(target.mask(image.shape[:2]) == 255).astype(np.float32) for target in group]
        yield small, [cv2.resize(one, small.shape[1::-1], interpolation=cv2.INTER_AREA) > 0.5 for one in masks]


def trees(image: UInt8, extractor: FeatureExtractor) -> dict[str, MergeTree]:
    """The trees that targets of training come from."""
    features = build_tree(extractor(image), image.shape[:2])
    return {
        "features": features,
        "edges": edge_tree(image, features.grid),
        "semantic": semantic_tree(image, features, semantic_cells(image)),
        "hidden": hidden_regions(image, features, np.random.default_rng(0)).tree,
    }


def best_region(tree: MergeTree, mask: Bool) -> int | None:
    """The node that is most like a mask, if it is alike at all."""
    covered: Float = cv2.resize(mask.astype(np.float32), tree.grid[::-1], interpolation=cv2.INTER_AREA).ravel()
    inside = tree.sums(covered.astype(np.float64))
    ious = inside / np.maximum(tree.area + covered.sum() - inside, 1e-9)
    return int(ious.argmax()) if ious.max() >= LEAST else None


if __name__ == "__main__":
    main(tyro.cli(Args))
