"""How many random trees a second a store gives, and the bytes that a tree takes.

    python -m benchmarks.bench_store [--trees 2000] [--shards 16]

Trees of 3,000 leaves (a grid of 50 x 60) of features of color and texture on noise at several scales, 200 different
ones, written under `--trees` keys. Asked for: 1,000 random trees a second in a process, under 25 KB per tree.
Features are drawn at random as well: costs without any regularity are the worst case for the packing.
"""

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from clickgrain.features import load_extractor
from clickgrain.proposals.store import ProposalStore, Row, Source
from clickgrain.tree import MergeTree, build_tree

DIFFERENT, GRID = 200, (50, 60)


def main() -> None:
    """Print both figures for two kinds of trees, in one file and in shards."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trees", type=int, default=2000)
    parser.add_argument("--shards", type=int, default=16)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    extractor, (rows, columns) = load_extractor("color-texture"), GRID
    patch = extractor.patch_size
    trees = []
    for _ in range(DIFFERENT):
        photo = np.zeros((rows * patch, columns * patch, 3), np.float32)
        for cells in (4, 16, 64):
            noise = rng.normal(size=(cells, cells, 3)).astype(np.float32)
            photo += cv2.resize(noise, (columns * patch, rows * patch)) * 40 / np.sqrt(cells / 4)
        image = np.clip(photo + 128, 0, 255).astype(np.uint8)
        trees.append(build_tree(extractor(image), image.shape[:2]))
    _measure("color and texture", trees, args.trees, args.shards)
    size = (8 * rows, 8 * columns)
    trees = [build_tree(rng.normal(size=(*GRID, 64)).astype(np.float32), size) for _ in range(DIFFERENT)]
    _measure("features at random", trees, args.trees, args.shards)


def _measure(name: str, trees: list[MergeTree], count: int, shards: int) -> None:
    rng = np.random.default_rng(1)
    packed = [Row.of("", Source("0" * 20, 1, 1), tree, "e", "s") for tree in trees]
    size = np.mean([len(row.children) + len(row.cost) for row in packed])
    print(f"{name}: {trees[0].n_leaves} leaves, {size / 1e3:.1f} KB a tree (asked for: under 25)")
    for files in (1, shards):
        with tempfile.TemporaryDirectory() as folder:
            for i in range(files):
                with ProposalStore.create(Path(folder) / f"{i}.db") as store:
                    store.write(
                        [
                            Row.of(f"photos/{k}.jpg", Source("0" * 20, 1, 1), trees[k % len(trees)], "e", "s")
                            for k in range(i, count, files)
                        ]
                    )
            on_disk = sum(file.stat().st_size for file in Path(folder).iterdir()) / count
            with ProposalStore.open(folder) as store:
                keys = [f"photos/{k}.jpg" for k in rng.permutation(count)]
                start = time.perf_counter()
                for key in keys:
                    store.tree(key)
                rate = count / (time.perf_counter() - start)
        print(f"  {files} files: {rate:.0f} random trees a second, {on_disk / 1e3:.1f} KB a tree on disk")


if __name__ == "__main__":
    main()
