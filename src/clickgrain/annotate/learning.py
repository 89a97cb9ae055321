"""Learn from this folder: `clickgrain learn` in a process of its own, then a comparison on the user's objects."""

import glob
import json
import os
import re
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from clickgrain.annotate import child
from clickgrain.annotate.child import PROGRESS
from clickgrain.annotate.files_below import BY_PLACE, OPEN_FILES, open_below
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.jobs import Job
from clickgrain.annotate.leafmap import to_size
from clickgrain.annotate.models import ModelInfo, describe_model, load_segmenter
from clickgrain.annotate.project import Project
from clickgrain.errors import ClickgrainError
from clickgrain.segmenter import Segmenter
from clickgrain.types import Size, UInt8

if TYPE_CHECKING:
    from clickgrain.evaluation import Benchmark, Target

MAX_CLICKS, GOOD = 20, 0.9
MOST_TARGETS = 200
LOG = "log.txt"
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
        database = self.project.database.path
        root = database.parent / f".{database.stem}-models"
        with claimed(root, lambda place: _unfinished(place, minutes)) as run:
            self._train(job, run.place, minutes)
        old, new = self.project.model, describe_model(str(run.path))
        job.report(job.total, job.total, "comparing on your objects")
        report = self.compare(job, old, new)
        report["seconds"] = round(time.time() - started, 1)
        self.project.use_model(new, {key: value for key, value in report.items() if key != "rows"})
        return report

    def _train(self, job: Job, place: Path, minutes: float) -> None:
        gallery = self.project.gallery
        command = [
            "clickgrain.annotate.learn_child",
            str(gallery.photos.absolute()),
            f"{minutes:g}",
            *gallery.ignore,
        ]
        command += [glob.escape(path.as_posix()) for path in gallery.astray]  # their owners did not give them to us
        (place / "previews").mkdir(0o700, exist_ok=True)  # for no other eyes, whatever photos they show
        (place / LOG).unlink(missing_ok=True)
        with (place / LOG).open("xb") as log:  # never through a link
            process = child.start(command, log, place)
            with suppress(AttributeError, OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
            try:
                while process.poll() is None:
                    job.report(*_progress(place))
                    job.stop.wait(0.5)
            except BaseException:
                _end(process)
                raise
            finally:
                if process.stdin is not None:
                    process.stdin.close()
        if process.returncode != 0:
            lines = (place / LOG).read_text(errors="replace").strip().splitlines()
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
                current = item.content in (
                    None,
                    self.project.content(image),
                )  # else drawn on a file that was replaced
                if item.mask and item.area and current:
                    read = partial(self.project.gallery.read, image)
                    yield Target(f"{image} {item.id}", str(image), read, partial(self._mask, item.mask))

    def _mask(self, hash_: str, size: Size) -> UInt8:
        return to_size(self.project.mask(hash_), size).astype(np.uint8) * np.uint8(255)


def _clicks(job: Job, segmenter: Segmenter, info: ModelInfo, benchmark: "Benchmark") -> dict[str, int]:
    from clickgrain.evaluation import evaluate

    def progress(done: int, total: int) -> None:
        job.report(done, total, f"comparing on your objects: {info.name}, {done} of {total}")

    result = evaluate(segmenter, benchmark, model=info.id, max_clicks=MAX_CLICKS, progress=progress)
    return {row.id: int(clicks) for row, clicks in zip(result.rows, result.clicks_to(GOOD))}


def _progress(place: Path) -> tuple[int, int, str]:
    """(done, total, text) of a run, by what its process writes down."""
    try:
        told = json.loads((place / PROGRESS).read_bytes())
        stage, done, total, text = str(told["stage"]), int(told["done"]), int(told["total"]), str(told["text"])
        each = None if told["each"] is None else float(told["each"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0, "starting"
    words = f"{stage}: step {done} of {total}" if stage == "training" else f"{stage}: {done} of {total}"
    if each is not None and stage == "training":
        words += "" if "s a step" in text else f", {each:.2g} s a step"
        left = each * max(total - done, 0)
        about = f"{left / 60:.0f} minutes" if left >= 90 else f"{left:.0f} seconds"
        words += f", about {about} left" if left else ""
    return done, total, "; ".join(filter(None, (words if total else stage, text)))


def _unfinished(run: Path, minutes: float) -> bool:
    try:
        saved = json.loads((run / "run.json").read_bytes())
        return "finished" not in saved and saved["asked"]["minutes"] == minutes
    except (OSError, ValueError, KeyError, TypeError):
        return (run / LOG).exists() and not (run / "run.json").exists()


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


LOCK = ".server.lock"
NAME = re.compile(r"run-\d{3,}")


@dataclass(frozen=True)
class RunFolder:
    """A run's folder.

    Attributes:
        path: its name, for people and for the list of models.
        place: reaches the very folder, whatever its name leads to by now.
    """

    path: Path
    place: Path


@contextmanager
def claimed(root: Path, goes_on: Callable[[Path], bool]) -> Iterator[RunFolder]:
    """The newest of one's own runs below `root` if `goes_on` (given its place), else a new one.

    No other server works there meanwhile; the lock ends with this process, however that ends.

    Raises:
        RequestError: the folder cannot be made, or is another user's link.
    """
    with ExitStack() as stack:
        try:
            run = _taken(stack, root, goes_on)
        except OSError as error:
            raise RequestError(
                "database",
                f"{root}: no place for a model ({error.strerror or error}); remove it, or check its owner",
            ) from error
        yield run


def _taken(stack: ExitStack, root: Path, goes_on: Callable[[Path], bool]) -> RunFolder:
    root.mkdir(parents=True, exist_ok=True)
    place = _opened(stack, root.parent, root.name)
    numbers = sorted(int(path.name[4:]) for path in place.iterdir() if NAME.fullmatch(path.name))
    owned = ((number, _own(stack, place, f"run-{number:03d}")) for number in reversed(numbers))
    number, last = next(((number, own) for number, own in owned if own is not None), (0, None))
    name = f"run-{number:03d}"
    if last is None or not goes_on(last):
        name = _made(place, len(numbers) + 1)
        last = _opened(stack, place, name)
    while True:
        with suppress(Timeout):  # another server is at it, even at one that was made a moment ago
            stack.enter_context(FileLock(last / LOCK, blocking=False))
            return RunFolder(root / name, last)
        name = _made(place, len(numbers) + 1)
        last = _opened(stack, place, name)


def _opened(stack: ExitStack, folder: Path, name: str) -> Path:
    """A way to a folder that stays with it until the stack is left."""
    if not BY_PLACE:
        return folder / name
    descriptor = open_below(folder, Path(name), directory=True)
    stack.callback(os.close, descriptor)
    way = OPEN_FILES / str(descriptor)
    return way if way.exists() else folder / name


def _own(stack: ExitStack, root: Path, name: str) -> Path | None:
    """The way to a run's folder in which only its owner, who is us, can have put anything; else None."""
    try:
        if (root / name).is_symlink():
            return None
        place = _opened(stack, root, name)
        if not hasattr(os, "geteuid"):
            return place
        for found in (place, *place.rglob("*")):
            status = found.stat() if found == place else found.lstat()
            closed = stat.S_ISDIR(status.st_mode) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if status.st_uid != os.geteuid() or not (closed or stat.S_ISREG(status.st_mode)):
                return None
    except OSError:
        return None
    return place


def _made(root: Path, number: int) -> str:
    """Name of a folder that did not exist before, with the first free number from `number` on."""
    while True:
        name = f"run-{number:03d}"
        with suppress(FileExistsError):
            (root / name).mkdir(0o755)
            return name
        number += 1
