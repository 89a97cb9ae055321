"""The full state of a run on disk, so that it can be stopped at any moment and end as if it had not been."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clickgrain.errors import TrainingError
from clickgrain.files import atomic_write

FORMAT = 1


@dataclass(frozen=True)
class RunState:
    """What a run goes on from: steps done, state dicts of model, average and optimiser, and the settings' hash.

    Then the number of steps as it was planned last, and the seconds spent; 0 in files that do not have them.
    """

    step: int
    model: dict[str, Any]
    average: dict[str, Any]
    optimizer: dict[str, Any]
    fingerprint: str
    planned: int = 0
    spent: float = 0.0


def save_state(path: Path, state: RunState) -> None:
    """Write a state whole or not at all.

    Raises:
        TrainingError: if the disk is full or the folder cannot be written; the previous state stays.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **vars(state)}, buffer)
    try:
        atomic_write(path, buffer.getvalue())
    except OSError as error:
        raise TrainingError(
            f"the training state cannot be written to {path}: {error.strerror or error}; free some space or choose"
            " another --out (the state before this one is still there)"
        ) from error


def load_state_of(path: Path, fingerprint: str) -> RunState | None:
    """The state at `path`, or None where there is none.

    Raises:
        TrainingError: if the file is damaged, of another version, or of a run with other settings.
    """
    if not path.exists():
        return None
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
        version = values.pop("format")
        state = RunState(**values)
    except Exception as error:
        raise TrainingError(
            f"{path} is no training state ({type(error).__name__}: {error}); delete it to start from the beginning"
        ) from error
    if version != FORMAT or state.fingerprint != fingerprint:
        raise TrainingError(
            f"{path} belongs to a run with other settings, other photos or another version of clickgrain; use the"
            " same to go on, another --out, or delete it to start from the beginning"
        )
    return state
