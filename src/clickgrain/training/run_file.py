"""`run.json`: what a `learn` or `finetune` run was asked for: the same call goes on, another is refused."""

import json
from dataclasses import MISSING, asdict, fields
from typing import Any

from clickgrain.devices import fast_in_bf16, resolve_precision
from clickgrain.errors import TrainingError
from clickgrain.files import atomic_write, hash_bytes
from clickgrain.training.finetune_args import FinetuneArgs
from clickgrain.training.learn_args import LearnArgs, Precision
from clickgrain.training.progress import Progress

RUN = "run.json"
Asked = LearnArgs | FinetuneArgs


def read_run(args: Asked) -> dict[str, Any] | None:
    """What was written about the run in `args.out`, or None where there is none.

    Raises:
        TrainingError: if the run had other settings, or the file is damaged.
    """
    path = args.out / RUN
    try:
        saved = json.loads(path.read_bytes())
        before, steps = _unasked(args) | dict(saved["asked"]), int(saved["steps"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{path} cannot be read ({type(error).__name__}: {error}); choose another --out, or delete it to"
            " begin again"
        ) from error
    now = _asked(args)
    changed = sorted(key for key in now.keys() | before.keys() if before.get(key) != now.get(key))
    if changed:
        raise TrainingError(
            f"{args.out} holds a run with other settings ({', '.join(changed)}); repeat its settings to go on,"
            " or choose another --out"
        )
    return {**saved, "steps": steps}


def begun_precision(asked: str, saved: dict[str, Any] | None, device: str, bar: Progress) -> Precision:
    """The precision of a run, which it keeps wherever it is resumed; `saved` is its run.json, None if it is new."""
    if saved is None:
        chosen = resolve_precision(asked, device)
        why = "asked for" if asked != "auto" else "chosen for this device; --precision chooses another"
        bar.note(f"the network runs in {chosen} ({why})")
    else:  # runs from before it was written down were made in bf16
        chosen = resolve_precision(saved.get("precision", "bf16" if asked == "auto" else asked), device)
    if chosen == "bf16" and not fast_in_bf16(device):
        bar.note(
            f"{device} does not compute bf16 in hardware: steps may take several times as long as in float32"
            + ("" if saved is None else "; the run began in bf16 and keeps it, a new --out begins in float32")
        )
    return chosen


def write_run(args: Asked, steps: int, **more: Any) -> None:
    """Write down what the run was asked for and its number of steps.

    Raises:
        TrainingError: if it cannot be written.
    """
    path = args.out / RUN
    try:
        atomic_write(path, json.dumps({"asked": _asked(args), "steps": steps, **more}, indent=1).encode())
    except OSError as error:
        raise TrainingError(
            f"{path} cannot be written: {error.strerror or error}; free some space or choose another --out"
        ) from error


def hash_keys(keys: list[str]) -> str:
    """Hash of the photos of a run."""
    return hash_bytes("\0".join(keys).encode("utf-8", "surrogateescape"))


def _unasked(args: Asked) -> dict[str, Any]:
    """What settings are where nothing was asked for, such as those that are younger than a run."""
    values = {field.name: field.default for field in fields(args) if field.default is not MISSING}
    return dict(json.loads(json.dumps(values, default=str)))


def _asked(args: Asked) -> dict[str, Any]:
    """The settings as JSON gives them back, without the places, which may move."""
    values = asdict(args) | {"out": "", "photos": "", "store": ""}
    return dict(json.loads(json.dumps(values, default=str)))
