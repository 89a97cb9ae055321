"""metrics.jsonl: a line per step (with its loss) and a line per validation, for whoever plots them."""

import json
from pathlib import Path
from typing import Any

from clickgrain.errors import TrainingError
from clickgrain.files import atomic_write
from clickgrain.training.interrupts import postponed_interrupts

WAITING = 20
"""Lines that wait in memory for the next write."""


class MetricsLog:
    """The metrics of a run, in the order of its steps.

    Args:
        path: of the file; its folder is made when the first lines are written.
        writes: False in processes that leave it to the first.
    """

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        self.path, self.writes = path, writes
        self.validated: dict[str, float] = {}
        """The last validation's metrics."""
        self.validated_step = 0
        self._waiting: list[dict[str, Any]] = []

    def rewind(self, step: int) -> None:
        """Drop what was written of later steps, and lines that a crash left unfinished.

        Raises:
            TrainingError: if the file cannot be read or written.
        """
        if not self.writes or not self.path.exists():
            return
        try:
            found = [_parsed(line) for line in self.path.read_bytes().splitlines()]
            kept = [line for line in found if line is not None and line["step"] <= step]
            atomic_write(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())
        except OSError as error:
            raise _unwritable(self.path, error) from error
        for line in kept:
            if "loss" not in line:
                self._note(line)

    def add(self, step: int, numbers: dict[str, float]) -> None:
        """Remember the numbers of a step; every 20 lines are written at once."""
        self._waiting.append({"step": step, **numbers})
        if len(self._waiting) >= WAITING:
            self.flush()

    def add_validation(self, step: int, metrics: dict[str, float]) -> None:
        """Remember what a validation after `step` steps found."""
        self._note({"step": step, **metrics})
        self.add(step, metrics)

    def flush(self) -> None:
        """Append what waits to the file.

        Raises:
            TrainingError: if it cannot be written (full disk, read-only folder).
        """
        waiting, self._waiting = self._waiting, []
        if not self.writes or not waiting:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with postponed_interrupts(), self.path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in waiting)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def _note(self, line: dict[str, Any]) -> None:
        self.validated = {name: value for name, value in line.items() if name != "step"}
        self.validated_step = line["step"]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) and isinstance(values.get("step"), int) else None


def _unwritable(path: Path, error: OSError) -> TrainingError:
    return TrainingError(
        f"the metrics cannot be written to {path}: {error.strerror or error}; free some space or choose another"
        " --out (the last training state is still there)"
    )
