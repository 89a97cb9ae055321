"""Learn from this folder: `clickgrain learn` in another process, then a comparison on the user's objects.

A run's folder is the user's own, and reached by descriptor: another user who may write to the folder of photos may
also write to where its models go, and could leave links there that training would write through.
"""

import glob
import json
import math
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from filelock import FileLock, Timeout

from clickgrain.annotate.accepted import Objects, compare, learned_from, objects_of
from clickgrain.annotate.database import ModelInfo
from clickgrain.annotate.files_below import BY_PLACE, OPEN_FILES, open_below
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.jobs import Job
from clickgrain.annotate.learn_child import PROGRESS
from clickgrain.annotate.models import describe_model, load_segmenter
from clickgrain.annotate.project import Project
from clickgrain.annotate.requests import MAX_SEQ
from clickgrain.errors import ClickgrainError

MAX_TARGETS = 200
LOG, LOCK = "log.txt", ".server.lock"
NICE = 10  # training takes what the user's clicks leave of the processor


class RunFolder(NamedTuple):
    """A run's folder."""

    path: Path  # its name, for people and for the list of models
    place: Path  # reaches this very folder, whatever its name leads to later


class Learner:
    """Trains a model and compares it with the one in use; the user decides which answers from then on."""

    def __init__(self, project: Project) -> None:
        self.project = project
        database = project.database.path
        self.root = database.parent / f".{database.stem}-models"

    def objects(self) -> Objects:
        """What the user accepted and refused so far."""
        return objects_of(self.project.gallery, self.project.logs)

    def work(self, job: Job, minutes: float, from_objects: bool = False) -> dict[str, Any]:
        """Train for about `minutes`, with the user's objects or not, and compare; DataError for too few objects."""
        from clickgrain.evaluation.datasets import data_hash  # start-up time that few sessions need to spend

        started = time.monotonic()
        labels = data_hash(self.objects().split().objects) if from_objects else None
        with claimed(self.root, lambda place: is_unfinished(place, minutes, labels)) as run:
            self.train(job, run.place, minutes, from_objects)
        old, new = self.project.model, describe_model(str(run.path))
        job.report(job.total, job.total, "comparing on your objects")
        report = self.compare(job, old, new)
        report["seconds"] = round(time.monotonic() - started, 1)
        self.project.database.save_model(new, {key: value for key, value in report.items() if key != "rows"})
        return report

    def stopped(self) -> dict[str, Any] | None:
        """The run that Learn would continue: {"minutes", "objects" (whether it has some), "text"}; None if none."""
        from clickgrain.evaluation.datasets import data_hash

        with ExitStack() as stack, suppress(OSError, Timeout, ClickgrainError):
            _, run, _ = _newest(stack, _reached(stack, self.root.parent, self.root.name))
            if run is None or (found := begun(run)) is None:
                return None
            stack.enter_context(FileLock(run / LOCK, blocking=False))  # else a server, maybe this one, is at it
            minutes, labels = found
            if labels is None or labels == data_hash(self.objects().split().objects):
                text = progress_of(run)[2].partition(",")[0]
                return {"minutes": minutes, "objects": labels is not None, "text": text}
        return None

    def train(self, job: Job, place: Path, minutes: float, from_objects: bool = False) -> None:
        """Run `learn` in a folder and report its progress; RequestError if it failed, Cancelled if the job was."""
        gallery = self.project.gallery
        # other users' photos are not ours to use
        astray = [glob.escape(path.as_posix()) for path in gallery.astray]
        project = str(self.project.database.path) if from_objects else ""
        arguments = [str(gallery.photos.absolute()), f"{minutes:g}", project, *gallery.ignore, *astray]
        (place / "previews").mkdir(0o700, exist_ok=True)  # private, whatever photos they show
        (place / LOG).unlink(missing_ok=True)
        with (place / LOG).open("xb") as log, start(arguments, log, place) as process:  # never through a link
            with suppress(AttributeError, OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
            try:
                while process.poll() is None:
                    job.report(*progress_of(place))
                    job.stop.wait(0.5)
            except BaseException:
                process.terminate()  # it saves what it has
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                raise
        if process.returncode != 0:
            lines = (place / LOG).read_text(errors="replace").strip().splitlines()
            raise RequestError("internal", f"learn failed: {lines[-1] if lines else process.returncode}")

    def compare(self, job: Job, old: ModelInfo, new: ModelInfo) -> dict[str, Any]:
        """How many clicks a robot needs with each model on the objects that neither was trained on."""
        from clickgrain.evaluation import Benchmark

        taught, known = learned_from(new), self.objects().targets
        trained_on = taught | learned_from(old)
        fresh = [target for target in known if target.id not in trained_on]
        seen = {target.image_id for target in known if target.id in trained_on}
        apart = [target for target in fresh if target.image_id not in seen]
        if len({target.image_id for target in apart}) >= 3:  # else objects of one image are on both sides
            fresh = apart

        def tell(which: str, done: int, total: int) -> None:
            name = (old if which == "old" else new).name
            job.report(done, total, f"comparing on your objects: {name}, {done} of {total}")

        device, runtime = self.project.device, self.project.runtime
        before, after = (load_segmenter(model.source, device, runtime) for model in (old, new))
        report = compare(before, after, Benchmark("annotations", fresh[:MAX_TARGETS]), tell)
        keys = ("id", "name", "kind", "hash")
        models = {which: {key: getattr(info, key) for key in keys} for which, info in (("old", old), ("new", new))}
        return {**models, "taught": sorted(taught), **report}


def start(arguments: Sequence[str], output: int | IO[bytes], place: Path) -> "subprocess.Popen[bytes]":
    """Run `learn_child` in a folder, in a process that does not outlive this one; its output goes to a file."""
    command = [sys.executable, "-m", "clickgrain.annotate.learn_child", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, cwd=place)


def progress_of(place: Path) -> tuple[int, int, str]:
    """(done, total, text) of a run, from what its process writes."""
    try:
        told = json.loads((place / PROGRESS).read_bytes())
        stage, text = str(told["stage"]), str(told["text"])
        done, total = (min(max(int(told[key]), 0), MAX_SEQ) for key in ("done", "total"))
        each = None if told["each"] is None else float(told["each"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return 0, 0, "starting"
    words = f"{stage}: step {done} of {total}" if stage == "training" else f"{stage}: {done} of {total}"
    if each is not None and stage == "training":
        words += "" if "s a step" in text else f", {each:.2g} s a step"
        left = each * max(total - done, 0)
        about = f"{left / 60:.0f} minutes" if left >= 90 else f"{left:.0f} seconds"
        words += f", about {about} left" if left else ""
    return done, total, "; ".join(filter(None, (words if total else stage, text)))


def begun(run: Path) -> tuple[float, str | None] | None:
    """(minutes, hash of the objects or None) of a run that was stopped; None if it is over, or none."""
    try:
        saved = json.loads((run / "run.json").read_bytes())
        minutes, labels = float(saved["asked"]["minutes"]), saved.get("labels")
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return None if "finished" in saved or not math.isfinite(minutes) else (minutes, labels)


def is_unfinished(run: Path, minutes: float, labels: str | None = None) -> bool:
    """Whether a folder holds a run of so many minutes, on these objects, that was stopped before its end."""
    if (run / "run.json").exists():
        return begun(run) == (minutes, labels)
    return (run / LOG).exists()


@contextmanager
def claimed(root: Path, resumes: Callable[[Path], bool]) -> Iterator[RunFolder]:
    """The newest of the user's own runs below `root` if `resumes` (given its place), else a new one.

    No other server works there meanwhile; the lock ends with this process, however that ends. Raises RequestError:
    the folder cannot be made, or is another user's link.
    """
    with ExitStack() as stack:
        try:
            root.mkdir(parents=True, exist_ok=True)
            place = _reached(stack, root.parent, root.name)
            name, run, number = _newest(stack, place)
            run = run if run is not None and resumes(run) else None
            while True:
                if run is not None:
                    with suppress(Timeout):  # another server has it, even one made a moment ago
                        stack.enter_context(FileLock(run / LOCK, blocking=False))
                        break
                number += 1
                name, run = f"run-{number:03d}", None
                with suppress(FileExistsError):
                    (place / name).mkdir(0o755)
                    run = _reached(stack, place, name)
        except OSError as error:
            problem = f"{root}: no place for a model ({error.strerror or error}); remove it, or check its owner"
            raise RequestError("database", problem) from error
        yield RunFolder(root / name, run)


def _newest(stack: ExitStack, root: Path) -> tuple[str, Path | None, int]:
    """(name, path or None) of the newest of the user's own runs, and how many runs there are."""
    numbers = sorted(int(one.name[4:]) for one in root.iterdir() if re.fullmatch(r"run-\d{3,}", one.name))
    names = (f"run-{number:03d}" for number in reversed(numbers))
    found = next(((name, own) for name in names if (own := _own(stack, root, name))), ("", None))
    return *found, len(numbers)


def _reached(stack: ExitStack, folder: Path, name: str) -> Path:
    """A path that leads to this very folder until the stack is left."""
    if not BY_PLACE:
        return folder / name
    descriptor = open_below(folder, Path(name), directory=True)
    stack.callback(os.close, descriptor)
    way = OPEN_FILES / str(descriptor)
    return way if way.exists() else folder / name


def _own(stack: ExitStack, root: Path, name: str) -> Path | None:
    """The path to a run's folder if the user owns everything in it and no one else can write to it; else None."""
    try:
        if (root / name).is_symlink():
            return None
        place = _reached(stack, root, name)
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
