"""A run's folder: its lock, its settings (run.json), its state (state.pt), its metrics (metrics.jsonl)."""

import io
import json
import math
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from filelock import FileLock, Timeout

from clickgrain.devices import computes_bf16, process_number, resolve_precision
from clickgrain.errors import TrainingError
from clickgrain.files import atomic_write, drop_temporary, hash_bytes, write_or_raise
from clickgrain.progress import Progress
from clickgrain.training.config import FinetuneArgs, LearnArgs, Precision

RUN, STATE, BEFORE, METRICS, LOCK = "run.json", "state.pt", "state-before.pt", "metrics.jsonl", ".run.lock"
FORMAT = 1
WAITING = 20  # lines of metrics that wait in memory for the next write
Asked = LearnArgs | FinetuneArgs


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold a run's folder so that no second run trains in it; the system frees the lock of a process that died.

    Of the processes that torchrun started the first one holds it.
    """
    if process_number()[0] > 0:
        yield
        return
    lock = FileLock(out / LOCK, blocking=False)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise TrainingError(
            f"another clickgrain is training in {out}; wait until it is done, stop it, or choose another --out"
        ) from None
    except NotImplementedError:
        pass  # a file system without locks: better unguarded than not at all
    except OSError as error:
        raise TrainingError(
            f"{out} cannot be written to: {error.strerror or error}; choose another --out"
        ) from error
    try:
        if lock.is_locked and process_number()[1] == 1:
            drop_temporary(out)  # of a run that was killed: as large as a state
        yield
    finally:
        lock.release()


@contextmanager
def writing(what: str, path: Path, kept: str) -> Iterator[None]:
    """A full disk or a read-only folder inside becomes a TrainingError, which says what is kept."""
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"the {what} cannot be written to {path}: {error.strerror or error}; free some space or choose another"
            f" --out ({kept})"
        ) from error


@contextmanager
def postponed_interrupts() -> Iterator[None]:
    """Make a Ctrl-C or SIGTERM that arrives inside wait for the end of the block: nothing is left half written.

    Outside the main thread, and for a signal that something other than Python handles, it does nothing.
    """
    usual: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        usual = {number: handler for number, handler in handlers.items() if callable(handler)}
    arrived: list[tuple[int, FrameType | None]] = []
    for number in usual:
        signal.signal(number, lambda number, frame: arrived.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        if arrived:
            number, frame = arrived[-1]
            usual[number](number, frame)


def read_run(args: Asked, made_of: dict[str, Any] | None = None, **others: str) -> dict[str, Any] | None:
    """What was written about the run in `args.out`; None for a new run.

    Raises TrainingError: it had other settings, or not the values of `made_of` under the names in `others`, whose
    words say so.
    """
    path = args.out / RUN
    try:
        saved = json.loads(path.read_bytes())
        before, steps = dict(saved["asked"]), int(saved["steps"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise TrainingError(
            f"{path} cannot be read ({type(error).__name__}: {error}); choose another --out, or delete it to"
            " begin again"
        ) from error
    # a run that is older than a setting had its default
    defaults = {field.name: field.default for field in fields(args) if field.default is not MISSING}
    now, before = _asked(args), json.loads(json.dumps(defaults, default=str)) | before
    changed = sorted(key for key in now.keys() | before.keys() if before.get(key) != now.get(key))
    if changed:
        raise TrainingError(
            f"{args.out} holds a run with other settings ({', '.join(changed)}); repeat its settings to continue,"
            " or choose another --out"
        )
    for name, words in others.items():
        if saved.get(name) != (made_of or {}).get(name):
            advice = "use the same to continue, or choose another --out"
            raise TrainingError(f"{args.out} holds a run {words}; {advice}")
    return {**saved, "steps": steps}


def write_run(args: Asked, steps: int, **more: Any) -> None:
    """Write down the settings of a run and its number of steps; the first process does."""
    if process_number()[0] > 0:
        return
    text = json.dumps({"asked": _asked(args), "steps": steps, **more}, indent=1)
    write_or_raise(args.out / RUN, text.encode(), TrainingError, "free some space or choose another --out")


def _asked(args: Asked) -> dict[str, Any]:
    """The settings as JSON gives them back, without the places, which may move, and what changes no weight."""
    values = asdict(args) | {"out": "", "photos": "", "store": "", "accumulate": 1, "memory": None}
    return dict(json.loads(json.dumps(values, default=str)))


def hash_keys(keys: list[str]) -> str:
    """Hash of the photos of a run."""
    return hash_bytes("\0".join(keys).encode("utf-8", "surrogateescape"))


def begun_precision(
    asked: str, saved: dict[str, Any] | None, model: torch.nn.Module, device: str, bar: Progress
) -> Precision:
    """The precision of a run, which it keeps wherever it is resumed; `saved` is its run.json, None if it is new."""
    parameters = sum(p.numel() for p in model.parameters())
    if saved is None:
        chosen = resolve_precision(asked, device, parameters)
        why = "asked for" if asked != "auto" else "the faster one on this device; --precision chooses"
        bar.note(f"the network runs in {chosen} ({why})")
    else:  # runs from before it was written down were made in bf16
        chosen = resolve_precision(saved.get("precision", "bf16" if asked == "auto" else asked), device, parameters)
    if chosen == "bf16" and not computes_bf16(device):
        bar.note(
            f"{device} does not compute bf16 in hardware: steps may take several times as long as in float32"
            + ("" if saved is None else "; the run began in bf16 and keeps it, a new --out begins in float32")
        )
    return chosen


@dataclass(frozen=True)
class RunState:
    """All that a run needs to end as if it had not been stopped."""

    step: int  # steps done
    model: dict[str, Any]  # state dicts, as are the next two
    average: dict[str, Any]
    optimizer: dict[str, Any]
    fingerprint: str  # hash of the settings
    planned: int = 0  # number of steps as it was planned last; 0 in files that do not have it
    spent: float = 0.0  # seconds of training that count against `--minutes`


def save_state(out: Path, state: RunState) -> None:
    """Write a state whole or not at all; the one before it stays as `state-before.pt`."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **vars(state)}, buffer)
    path, before = out / STATE, out / BEFORE
    with writing("training state", path, "the state before this one is still there"):
        if path.exists():
            before.unlink(missing_ok=True)
            try:
                os.link(path, before)
            except OSError:  # no hard links here
                shutil.copyfile(path, before)
        atomic_write(path, buffer.getvalue())


def load_state_of(out: Path, fingerprint: str, bar: Progress) -> RunState | None:
    """The state in a run's folder, or None without one; if it is damaged the one before it, which `bar` notes.

    Raises TrainingError: if both are damaged, or the state is of another version or of a run with other settings.
    """
    path, before = out / STATE, out / BEFORE
    if not path.exists():
        with suppress(OSError):
            before.unlink()  # a state is deleted to begin again
        return None
    try:
        version, state = _read_state(path)
    except PermissionError as error:  # not damaged: it must not give way to an older one
        raise TrainingError(f"{path} cannot be read ({error.strerror}); make it readable for this user") from error
    except Exception as error:
        try:
            version, state = _read_state(before)
            before.replace(path)
        except Exception:
            raise TrainingError(
                f"{path} is no training state ({type(error).__name__}: {error}); delete it to start from the"
                " beginning"
            ) from error
        bar.note(f"{path} is damaged; the run continues from the state before it, after step {state.step}")
    if version != FORMAT or state.fingerprint != fingerprint:
        raise TrainingError(
            f"{path} belongs to a run with other settings, other photos or another version of clickgrain; use the"
            " same to continue, another --out, or delete it to start from the beginning"
        )
    return state


def _read_state(path: Path) -> tuple[int, RunState]:
    values = torch.load(path, map_location="cpu", weights_only=True)
    return values.pop("format"), RunState(**values)


def _is_line(values: Any) -> bool:
    """Whether a value is what `MetricsLog.add` writes: numbers by name, and perhaps why the step was skipped."""
    if not isinstance(values, dict) or type(values.get("step")) is not int:
        return False
    numbers = [value for name, value in values.items() if name not in ("step", "skipped")]
    return all(
        value is None or type(value) is float or (type(value) is int and abs(value) < 2**53) for value in numbers
    )


class MetricsLog:
    """metrics.jsonl: a line per step and a line per validation, in order, for whatever plots them.

    A step has its loss, or the reason why it was skipped.
    """

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        self.path, self.writes = path, writes
        self.validated: dict[str, float] = {}  # the last validation's metrics
        self.validated_step = 0
        self.skipped = 0  # steps that changed nothing, over all sessions
        self._waiting: list[dict[str, Any]] = []

    def rewind(self, step: int) -> None:
        """Drop what was written of later steps, and lines that a crash left unfinished."""
        if not self.writes or not self.path.exists():
            return
        kept: list[dict[str, Any]] = []
        with self._writing():
            for text in self.path.read_bytes().splitlines():
                with suppress(ValueError, RecursionError):
                    values = json.loads(text)
                    if _is_line(values) and values["step"] <= step:
                        kept.append(values)
            atomic_write(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())
        for line in kept:
            self._note(line)

    def add(self, step: int, numbers: dict[str, Any]) -> None:
        """Remember what a step or a validation after it gave; every 20 lines are written at once."""
        line: dict[str, Any] = {"step": step}
        for name, value in numbers.items():  # JSON has no NaN and no infinity
            line[name] = None if isinstance(value, float) and not math.isfinite(value) else value
        self._note(line)
        self._waiting.append(line)
        if len(self._waiting) >= WAITING:
            self.flush()

    def flush(self) -> None:
        """Append what waits to the file; TrainingError if that fails (full disk, read-only folder)."""
        waiting, self._waiting = self._waiting, []
        if not self.writes or not waiting:
            return
        with self._writing():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with postponed_interrupts(), self.path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in waiting)

    def _note(self, line: dict[str, Any]) -> None:
        if "skipped" in line:
            self.skipped += 1
        elif "loss" not in line:
            self.validated = {n: math.nan if v is None else v for n, v in line.items() if n != "step"}
            self.validated_step = line["step"]

    def _writing(self) -> AbstractContextManager[None]:
        return writing("metrics", self.path, "the last training state is still there")
