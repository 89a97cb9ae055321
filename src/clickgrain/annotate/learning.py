"""Learn from this folder: `clickgrain learn` in a process of its own, then a comparison on the user's objects."""

import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from clickgrain.annotate import child
from clickgrain.annotate.jobs import Cancelled, Job
from clickgrain.annotate.models import ModelInfo, describe_model, load_segmenter
from clickgrain.annotate.project import Project
from clickgrain.annotate.refusals import RequestError
from clickgrain.errors import ClickgrainError
from clickgrain.segmenter import Segmenter
from clickgrain.types import Size, UInt8

if TYPE_CHECKING:
    from clickgrain.evaluation import Benchmark, Target

MAX_CLICKS, GOOD = 20, 0.9
MOST_TARGETS = 200
LOCK = ".lock"
NICE = 10
"""The user goes on clicking while training takes what is left of the processor."""


class Learner:
    """Trains, switches, reports.

    Args:
        project: whose folder is learned from, and whose objects are the test.
    """

    def __init__(self, project: Project) -> None:
        self.project = project

    def work(self, job: Job, minutes: float) -> dict[str, Any]:
        """The job: train for about `minutes`, compare, switch."""
        started = time.time()
        with self._claimed(minutes) as out:
            self._train(job, out, minutes)
        old, new = self.project.model, describe_model(str(out))
        job.report(job.total, job.total, "comparing on your objects")
        report = self.compare(job, old, new)
        report["seconds"] = round(time.time() - started, 1)
        self.project.use_model(new, {key: value for key, value in report.items() if key != "rows"})
        return report

    @contextmanager
    def _claimed(self, minutes: float) -> Iterator[Path]:
        """Where the model goes: the last run's folder if it was stopped half-way, else a new one.

        No other server works there meanwhile; the lock ends with this process, however that ends.
        """
        database = self.project.database.path
        root = database.parent / f".{database.stem}-models"
        runs = sorted(root.glob("run-*"))
        if runs and _unfinished(runs[-1], minutes):
            with suppress(Timeout), FileLock(runs[-1] / LOCK, blocking=False):
                yield runs[-1]
                return
        out = _new_folder(root, len(runs) + 1)
        with FileLock(out / LOCK):
            yield out

    def _train(self, job: Job, out: Path, minutes: float) -> None:
        command = ["learn", str(self.project.gallery.photos), "--out", str(out), "--minutes", f"{minutes:g}"]
        for pattern in self.project.gallery.ignore:
            command += ["--ignore", pattern]
        out.mkdir(parents=True, exist_ok=True)
        with (out / "log.txt").open("wb") as log:
            process = child.start(command, log)
            with suppress(AttributeError, OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
            try:
                while process.poll() is None:
                    job.report(*_progress(out, len(self.project.gallery.order)))
                    job.stop.wait(0.5)
            except Cancelled:
                _end(process)
                raise
            finally:
                if process.stdin is not None:
                    process.stdin.close()
        if process.returncode != 0:
            lines = (out / "log.txt").read_text(errors="replace").strip().splitlines()
            raise RequestError("internal", f"learn failed: {lines[-1] if lines else process.returncode}")

    def compare(self, job: Job, old: ModelInfo, new: ModelInfo) -> dict[str, Any]:
        """How many clicks a robot needs with each model to an IoU of 0.9 on the objects annotated so far."""
        from clickgrain.evaluation import Benchmark  # start-up time that few sessions need to spend

        targets = list(self._targets())[:MOST_TARGETS]
        models = {"old": _shown(old), "new": _shown(new)}
        if not targets:
            return {**models, "objects": 0, "old_clicks": None, "new_clicks": None, "rows": []}
        benchmark = Benchmark("annotations", targets)
        clicks: list[dict[str, int]] = []
        for info in (old, new):
            segmenter = load_segmenter(info.source, self.project.device)
            clicks.append(_clicks(job, segmenter, info, benchmark))
        shared = [id_ for id_ in clicks[0] if id_ in clicks[1]]
        rows = [{**_parsed(id_), "old": clicks[0][id_], "new": clicks[1][id_]} for id_ in shared]
        means = {f"{key}_clicks": _mean([row[key] for row in rows]) for key in ("old", "new")}
        return {**models, "objects": len(rows), **means, "rows": rows}

    def _targets(self) -> "Iterator[Target]":
        from clickgrain.evaluation import Target

        for image in self.project.gallery.logged():
            if image in self.project.gallery.missing:
                continue
            try:
                objects = self.project.history(image).document.objects
            except ClickgrainError:
                continue  # a damaged log; opening the image says so
            for item in objects:
                if item.mask and item.area:
                    read = partial(self.project.gallery.read, image)
                    yield Target(f"{image} {item.id}", str(image), read, partial(self._mask, item.mask))

    def _mask(self, hash_: str, size: Size) -> UInt8:
        return self.project.mask(hash_).astype(np.uint8) * np.uint8(255)


def _clicks(job: Job, segmenter: Segmenter, info: ModelInfo, benchmark: "Benchmark") -> dict[str, int]:
    from clickgrain.evaluation import evaluate

    def progress(done: int, total: int) -> None:
        job.report(done, total, f"comparing on your objects: {info.name}, {done} of {total}")

    result = evaluate(segmenter, benchmark, model=info.id, max_clicks=MAX_CLICKS, progress=progress)
    return {row.id: int(clicks) for row, clicks in zip(result.rows, result.clicks_to(GOOD))}


def _new_folder(root: Path, number: int) -> Path:
    """A folder that nobody else has made, with the first free number from `number` on."""
    while True:
        folder = root / f"run-{number:03d}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def _progress(out: Path, photos: int) -> tuple[int, int, str]:
    """(done, total, text) of a run, by the files that it writes."""
    try:
        steps = int(json.loads((out / "run.json").read_bytes())["steps"])
    except (OSError, ValueError, KeyError, TypeError):
        return _proposed(out, photos)
    done = 0
    with suppress(OSError, ValueError, KeyError, IndexError):
        last = json.loads((out / "metrics.jsonl").read_bytes().splitlines()[-1])
        done, steps = int(last["step"]), int(last.get("planned", steps))
    return done, steps, f"training: step {done} of {steps}"


def _proposed(out: Path, photos: int) -> tuple[int, int, str]:
    done = 0
    with suppress(sqlite3.Error):
        uri = f"{(out / 'proposals.db').absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as store:
            done = int(store.execute("SELECT count(*) FROM trees").fetchone()[0])
    return done, photos, f"building trees: {done} of {photos} photos"


def _unfinished(run: Path, minutes: float) -> bool:
    try:
        saved = json.loads((run / "run.json").read_bytes())
        return "finished" not in saved and saved["asked"]["minutes"] == minutes
    except (OSError, ValueError, KeyError, TypeError):
        return (run / "log.txt").exists() and not (run / "run.json").exists()


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask the run to save what it has, and wait."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _shown(model: ModelInfo) -> dict[str, Any]:
    return {"id": model.id, "name": model.name, "kind": model.kind, "hash": model.hash}


def _parsed(id_: str) -> dict[str, Any]:
    image, number = id_.split()
    return {"image": int(image), "object": int(number)}


def _mean(values: list[int]) -> float | None:
    return round(sum(values) / len(values), 2) if values else None
