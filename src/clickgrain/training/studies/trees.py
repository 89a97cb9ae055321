"""What a study of trees adds to its table: the quality of the trees themselves, and what merging costs."""

import json
import time
from pathlib import Path
from typing import Literal

import numpy as np

from clickgrain.errors import TrainingError
from clickgrain.evaluation import Benchmark, evaluate_trees
from clickgrain.features import load_extractor
from clickgrain.files import atomic_write, hash_bytes
from clickgrain.tree import MergeTree, build_tree
from clickgrain.types import UInt8

CUT = 100


def tree_figures(
    extractor: str, connectivity: Literal[0, 4, 8], benchmark: Benchmark, device: str, folder: Path
) -> dict[str, float]:
    """Mean IoU of the best node, AR@100, and processor milliseconds of a merge (the median image).

    Args:
        extractor: whose features are merged.
        connectivity: see `build_tree`.
        benchmark: images and targets.
        device: of the extractor.
        folder: for the file that keeps the figures, so that they are computed once.
    """
    ids = "\0".join(target.id for target in benchmark)
    key = hash_bytes(f"{extractor}\0{connectivity}\0{benchmark.name}\0{ids}".encode())
    path = folder / f"quality-{key[:12]}.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        figures = _measured(extractor, connectivity, benchmark, device)
    try:
        atomic_write(path, json.dumps(figures).encode())
    except OSError as error:
        raise TrainingError(f"{path} cannot be written: {error.strerror or error}; free some space") from error
    return figures


def _measured(
    extractor: str, connectivity: Literal[0, 4, 8], benchmark: Benchmark, device: str
) -> dict[str, float]:
    extract, spent = load_extractor(extractor, device=device), list[float]()

    def build(image: UInt8) -> MergeTree:
        features = extract(image)
        started = time.thread_time()
        tree = build_tree(features, (image.shape[0], image.shape[1]), connectivity=connectivity)
        spent.append(1000 * (time.thread_time() - started))
        return tree

    quality = evaluate_trees(build, benchmark, name=extractor, cuts=(CUT,))
    return {
        "best node IoU": quality.best_iou(),
        f"AR@{CUT}": quality.ar(CUT),
        "merge ms": float(np.median(spent)),
    }
