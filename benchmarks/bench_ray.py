"""`propose --engine ray` against the local engine, after the start of either.

    python -m benchmarks ray
    python -m benchmarks.bench_ray --photos DIR --more 300

Each engine builds the trees of `--first` photos and, in another folder, of `--more` photos more; the difference is
the time of the latter, without starting Ray, its workers and their libraries. Ray gets as many CPUs as there are
cores. Color and texture. Without `--photos`, noise at several scales, 768 x 1024, as JPEG. Asked for: Ray takes at
most 1.25 times as long.
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.bench_propose import photo
from clickgrain.features import FeatureExtractor, load_extractor
from clickgrain.files import core_count
from clickgrain.proposals.cluster import OBJECT_STORE, propose_on_ray
from clickgrain.proposals.pipeline import ProposeReport, propose

ROUNDS, SIZE = 3, (768, 1024)


def load(gpu: bool) -> FeatureExtractor:
    """In every worker."""
    return load_extractor("color-texture")


def seconds_for_more(engine: Callable[[Path, Path], ProposeReport], few: Path, many: Path) -> float:
    """Of the photos that `many` has more than `few`."""
    taken = []
    with tempfile.TemporaryDirectory() as out:
        for number, photos in enumerate((few, many)):
            began = time.perf_counter()
            report = engine(photos, Path(out) / f"{number}")
            taken.append(time.perf_counter() - began)
            assert report.done == len(list(photos.iterdir())), report.failed
    return taken[1] - taken[0]


def on_ray(photos: Path, out: Path) -> ProposeReport:
    """In the Ray that runs."""
    return propose_on_ray(photos, out, load=load, progress=False)


def here(photos: Path, out: Path) -> ProposeReport:
    """In this process."""
    return propose(photos, out.with_suffix(".db"), extractor=load(False), progress=False)


def folders(given: argparse.Namespace, folder: Path) -> tuple[Path, Path]:
    """Two folders: the first photos, and those with more."""
    few, many = folder / "few", folder / "many"
    rng, there = np.random.default_rng(0), [] if given.photos is None else sorted(given.photos.iterdir())
    for one in (few, many):
        one.mkdir()
    for number in range(given.first + given.more):
        path = many / f"{number:05}.jpg"
        if there:
            path.symlink_to(there[number % len(there)].absolute())
        else:
            cv2.imwrite(str(path), photo(rng, SIZE))
        if number < given.first:
            (few / path.name).symlink_to(path)
    return few, many


def main() -> None:
    """Print seconds of both, and their ratio."""
    import ray

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--more", type=int, default=600)
    given = parser.parse_args()
    began = time.perf_counter()
    ray.init(
        num_cpus=core_count(),
        object_store_memory=OBJECT_STORE,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    print(f"{core_count()} cores; Ray took {time.perf_counter() - began:.1f} s to start")
    with tempfile.TemporaryDirectory() as name:
        few, many = folders(given, Path(name))
        here(few, Path(name) / "warm")  # compiles
        rounds = []
        for _ in range(ROUNDS):
            rounds.append([seconds_for_more(engine, few, many) for engine in (here, on_ray)])
            local, cluster = rounds[-1]
            print(f"{given.more} photos more: local {local:.1f} s, Ray {cluster:.1f} s", flush=True)
    local, cluster = (min(times) for times in zip(*rounds))
    print(f"best of {ROUNDS}: local {given.more / local:.0f} a second, Ray {given.more / cluster:.0f} a second;")
    print(f"Ray takes {cluster / local:.2f} times as long (asked for: at most 1.25)")
    ray.shutdown()


if __name__ == "__main__":
    main()
