"""Peak memory of what `learn` does before its first step: photos, objects, closer views, composites, validation.

    python -m benchmarks memory
    python -m benchmarks.bench_memory --propose    of `propose`, for 100 and for 5,000 drawn photos
    python -m benchmarks.bench_memory --photos DIR --store trees.db --count 5000 [--objects FILE] [--threads N]
    python -m benchmarks.bench_memory --memory 0.1 --steps 20    streams; time without a batch

Without a folder, 300 photos of 256 x 192 pixels are drawn. The stage runs in a separate process with the settings
of `grain-small`; what the process takes before it begins (libraries, the extractor) is taken off. `--objects` is
the file of an earlier run that remembers the salient objects, to save the time of finding them.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import psutil

from clickgrain.features import load_extractor
from clickgrain.models.registry import build_model
from clickgrain.progress import Quiet
from clickgrain.proposals.pipeline import propose
from clickgrain.proposals.store import ProposalStore
from clickgrain.training.config import grain_small
from clickgrain.training.loop import fit
from clickgrain.training.prepare import choose_photos, prepare

EXTRACTOR, DRAWN, FEW_AND_MANY = "color-texture", 300, (100, 5000)
UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes of one unit of ru_maxrss."""


def draw(folder: Path, count: int = DRAWN) -> None:
    """Photos of a few ellipses on textured ground."""
    folder.mkdir()
    for seed in range(count):
        rng = np.random.default_rng(seed)
        image = np.clip(cv2.GaussianBlur(rng.normal(128, 60, (192, 256, 3)), (0, 0), 2) + 10, 0, 255).astype(
            np.uint8
        )
        for _ in range(5):
            center, axes = rng.integers(20, 180, 2).tolist(), rng.integers(9, 50, 2).tolist()
            cv2.ellipse(
                image, center, axes, float(rng.uniform(0, 180)), 0, 360, rng.uniform(0, 255, 3).tolist(), -1
            )
        cv2.imwrite(str(folder / f"{seed:04d}.png"), image)


def measure(given: argparse.Namespace) -> None:
    """In the separate process: prepare, train if that is asked for, and print the peak."""
    photos, store, count, objects, threads = given.photos, given.store, given.count, given.objects, given.threads
    extractor, trees = load_extractor(EXTRACTOR), ProposalStore(store)
    extractor(np.zeros((64, 64, 3), np.uint8))
    chosen = choose_photos(photos, trees, (), extractor.name)[0][:count]
    args = replace(grain_small().args, threads=threads)
    start = psutil.Process().memory_info().rss
    memory = None if given.memory is None else given.memory * 1e9
    data = prepare(chosen, trees, args, extractor, Quiet(), seed=0, cache=objects, memory=memory)
    print(data.image_set.described(), file=sys.stderr)
    if given.steps:
        settings = replace(args, validate_every=0).with_steps(given.steps)
        with tempfile.TemporaryDirectory() as out:
            model = build_model(grain_small().model.to_json())
            fitted = fit(model, data.image_set, data.images, settings, Path(out))
        print(f"{given.steps} steps: {fitted.waited:.1%} of the time without a batch", file=sys.stderr)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT
    print(json.dumps([len(chosen), len(data.images), start, peak]))


def peak_of(*flags: object) -> list[int]:
    """What a separate process prints."""
    command = [sys.executable, "-m", "benchmarks.bench_memory", "--inside", *map(str, flags)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measure_propose(given: argparse.Namespace) -> None:
    """In the separate process: build the trees, and print photos and peak."""
    report = propose(given.photos, given.store, extractor=load_extractor(EXTRACTOR), progress=False)
    print(json.dumps([report.done, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT]))


def compare_propose(folder: Path) -> None:
    """The peak of `propose` for few and for many photos."""
    peaks = []
    for count in FEW_AND_MANY:
        photos = folder / f"{count}"
        draw(photos, count)
        done, peak = peak_of("--propose", f"--photos={photos}", f"--store={folder / f'{count}.db'}")
        print(f"propose: {done} photos, {peak / 1e6:.0f} MB at the peak", flush=True)
        peaks.append(peak)
    print(f"{peaks[1] / peaks[0] - 1:+.1%} (asked for: at most 10 %)")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--count", type=int, default=DRAWN)
    parser.add_argument("--objects", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", type=float, help="gigabytes for images and trees")
    parser.add_argument("--steps", type=int, default=0, help="of training after the preparation")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--propose", action="store_true", help="measure `propose` instead")
    given = parser.parse_args()
    if given.inside:
        (measure_propose if given.propose else measure)(given)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if given.propose:
            compare_propose(folder)
            return
        if given.photos is None:
            given.photos, given.store = folder / "photos", folder / "trees.db"
            draw(given.photos)
        if not given.store.exists():
            propose(given.photos, given.store, extractor=load_extractor(EXTRACTOR), progress=False)
        cache = folder / "objects.safetensors"
        if given.objects is not None and given.objects.exists():
            shutil.copyfile(given.objects, cache)
        flags = [f"--{name}={getattr(given, name)}" for name in ("photos", "store", "count", "threads", "steps")]
        flags += [] if given.memory is None else [f"--memory={given.memory}"]
        photos, pictures, start, peak = peak_of(f"--objects={cache}", *flags)
        if given.objects is not None and not given.objects.exists():
            shutil.copyfile(cache, given.objects)
    print(f"{photos} photos, {pictures} images to train on: {start / 1e6:.0f} MB before, {peak / 1e6:.0f} MB at the"
          f" peak, {(peak - start) / photos / 1e3:.0f} KB a photo")  # fmt: skip


if __name__ == "__main__":
    main()
