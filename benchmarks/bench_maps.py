"""Time of all click maps of a 384 px image at stride 1 and 2: best of 5 means, milliseconds. Wanted: under 10 ms.

`python benchmarks/bench_maps.py [THREADS ...]` (1 and 2 by default). A map alone also pays for what it rests on:
the posterior for the level maps. The context is made once per image and not part of a click.
"""

import sys
from collections.abc import Callable
from time import perf_counter

import cv2
import numpy as np
import torch

from clickgrain.clicks.config import MAP_NAMES, MapSpec
from clickgrain.clicks.leaf_maps import Leaves
from clickgrain.clicks.maps import MapContext, click_maps, leaf_colors
from clickgrain.features import load_extractor
from clickgrain.tree import build_tree, edge_tree, semantic_cells, semantic_tree, semantic_vectors
from clickgrain.types import Prompt, UInt8

HEIGHT, WIDTH = 256, 384
CALLS, REPEATS = 10, 5


def photo() -> UInt8:
    """A noisy image of a few hundred coloured blobs."""
    rng = np.random.default_rng(0)
    coarse = cv2.resize(rng.integers(0, 256, (24, 36, 3), dtype=np.uint8), (WIDTH, HEIGHT)).astype(np.int16)
    return np.clip(coarse + rng.normal(0, 8, coarse.shape), 0, 255).astype(np.uint8)


def best_ms(call: Callable[[], object]) -> float:
    """Best mean time of a call in milliseconds, after one to warm up."""
    call()
    means = []
    for _ in range(REPEATS):
        start = perf_counter()
        for _ in range(CALLS):
            call()
        means.append((perf_counter() - start) / CALLS)
    return 1e3 * min(means)


def leaves_of(image: UInt8) -> Leaves:
    """All that click maps may need of an image."""
    tree, cells = build_tree(load_extractor("color-texture")(image), image.shape[:2]), semantic_cells(image)
    others = edge_tree(image, tree.grid), semantic_vectors(cells, tree), semantic_tree(image, tree, cells)
    return Leaves(tree, leaf_colors(image, tree), *others)


def bench(image: UInt8, of_image: Leaves, stride: int) -> None:
    """Print the time of the context, of all maps with 3 and 20 clicks, and of each map."""
    spec, leaves = MapSpec(MAP_NAMES, stride), [of_image]
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    context = MapContext.of(pixels, spec, leaves)
    previous = torch.rand(1, 1, HEIGHT // 2, WIDTH // 2, generator=torch.Generator().manual_seed(0))
    points = np.random.default_rng(1).uniform(0, HEIGHT - 1, (20, 2)).astype(np.float32)

    def maps(names: tuple[str, ...], clicks: int) -> float:
        labels = (np.arange(clicks) % 3 < 2).astype(np.uint8)
        prompt, wanted = Prompt(points[:clicks], labels), MapSpec(names, stride)
        return best_ms(lambda: click_maps(wanted, context, [prompt], previous))

    made = best_ms(lambda: MapContext.of(pixels, spec, leaves))
    title = f"stride {stride}, {torch.get_num_threads()} threads"
    print(f"{title}: all {maps(MAP_NAMES, 3):.2f}, 20 clicks {maps(MAP_NAMES, 20):.2f}, context {made:.2f}")
    pairs = [(name,) for name in MAP_NAMES if not name.endswith("-")]
    print("  " + ", ".join(f"{name} {maps(name_, 3):.2f}" for name_ in pairs for name in name_))


def main() -> None:
    """Time the maps at both strides for every number of threads."""
    image = photo()
    leaves = leaves_of(image)
    with torch.inference_mode():
        for threads in [int(value) for value in sys.argv[1:]] or [1, 2]:
            torch.set_num_threads(threads)
            cv2.setNumThreads(threads)
            for stride in (1, 2):
                bench(image, leaves, stride)


if __name__ == "__main__":
    main()
