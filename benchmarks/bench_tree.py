"""`build_tree` against higra and scikit-learn, best of 5, compilation excluded.

Wanted at 47x63x384, 56x56x768 and 112x112x384: at least 10x faster than higra and 30x faster than scikit-learn; a
512x512x64 grid takes at most 3x as long per leaf as about 3,000 leaves. Features are smoothed Gaussian fields plus
a tenth of white noise, so that regions grow as they do on images. All three run in one thread; its processor time
is what counts, so that other programs cost less (they still share the caches).
"""

import gc
from collections.abc import Callable
from time import thread_time

import cv2
import higra
import numpy as np
from sklearn.cluster import ward_tree
from sklearn.feature_extraction.image import grid_to_graph

from clickgrain.tree import build_tree
from clickgrain.types import Float

SIZES = ((47, 63, 384), (56, 56, 768), (112, 112, 384))
REPEATS = 5


def field(h: int, w: int, d: int) -> Float:
    """h x w x d float32."""
    noise = np.random.default_rng(0).normal(size=(d, h, w)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(channel, (0, 0), 2) for channel in noise], axis=-1)
    return np.ascontiguousarray(smooth + 0.1 * noise.transpose(1, 2, 0))


def best_ms(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """Best time of a call in milliseconds, after one that fills the caches."""
    call()
    times = []
    gc.collect()  # once: it walks through so much memory that it would empty the caches before every call
    for _ in range(repeats):
        start = thread_time()
        call()
        times.append(thread_time() - start)
    return 1000 * min(times)


def ours(features: Float) -> Callable[[], object]:
    """The whole of clickgrain's `build_tree`."""
    return lambda: build_tree(features)


def by_higra(features: Float) -> Callable[[], object]:
    """Merging by higra, graph given."""
    h, w, d = features.shape
    graph, vectors = higra.get_4_adjacency_graph((h, w)), features.reshape(-1, d).astype(np.float64)
    return lambda: higra.binary_partition_tree_ward_linkage(graph, vectors, altitude_correction="none")


def by_scikit_learn(features: Float) -> Callable[[], object]:
    """Merging by scikit-learn, graph given."""
    h, w, d = features.shape
    graph, vectors = grid_to_graph(h, w), features.reshape(-1, d).astype(np.float64)
    return lambda: ward_tree(vectors, connectivity=graph)


def main() -> None:
    """Print one line per size, then the cost of a leaf on a large grid."""
    cv2.setNumThreads(1)
    build_tree(field(4, 4, 64))  # compiles
    for size in SIZES:
        features = field(*size)
        own, other, learn = (best_ms(make(features)) for make in (ours, by_higra, by_scikit_learn))
        print(
            f"{size[0]}x{size[1]}x{size[2]:<4} clickgrain {own:6.2f} ms   higra {other:7.1f} ms,"
            f" {other / own:5.1f}x (wanted 10x)   scikit-learn {learn:7.1f} ms, {learn / own:5.1f}x (wanted 30x)",
            flush=True,
        )
    small, large = field(47, 63, 64), field(512, 512, 64)
    per_small = best_ms(ours(small), 9) / (47 * 63)
    per_large = best_ms(ours(large)) / (512 * 512)
    print(
        f"512x512x64: {1e3 * per_large:.2f} us a leaf, 47x63x64: {1e3 * per_small:.2f} us a leaf,"
        f" {per_large / per_small:.1f}x (wanted at most 3x)"
    )


if __name__ == "__main__":
    main()
