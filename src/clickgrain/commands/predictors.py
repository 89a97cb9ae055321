"""Predictors by the names that the command line takes, and devices."""

from collections.abc import Callable
from dataclasses import dataclass

from clickgrain.errors import ConfigError
from clickgrain.types import Predictor


@dataclass(frozen=True)
class Candidate:
    """A predictor that is known to exist but not loaded yet.

    Attributes:
        name: as typed.
        identity: `name` and a hash of its weights, so that results of an older checkpoint in the same folder are
            never taken over.
        load: makes the predictor.
    """

    name: str
    identity: str
    load: Callable[[], Predictor]


def find_predictor(name: str, *, device: str = "cpu", extractor: str | None = None) -> Candidate:
    """A baseline ("opencv-grabcut"), "tree", "default", a model folder or a Hugging Face id.

    Args:
        name: as typed.
        device: of the model and of the extractor.
        extractor: whose features make the merge trees; None: what the model was trained with.

    Raises:
        WeightsError: when there is no such model.
    """
    from clickgrain.evaluation.baselines import is_baseline, load_baseline

    if is_baseline(name):
        return Candidate(name, name, lambda: load_baseline(name))

    def load() -> Predictor:
        from clickgrain.segmenter import Segmenter

        return Segmenter.load(name, device=device, extractor=extractor)

    trees = f"[{extractor}]" if extractor else ""
    return Candidate(name, f"{name}{_stamp(name)}{trees}", load)


def check_device(device: str) -> str:
    """The device's name, if torch can use it.

    Raises:
        ConfigError: it is no device, or not there.
    """
    if device == "cpu":
        return device
    import torch

    try:
        kind, index = torch.device(device).type, torch.device(device).index or 0
    except RuntimeError:
        raise ConfigError(f"--device {device!r} is not a torch device; use cpu, cuda, cuda:1 or mps") from None
    backend = {"cuda": torch.cuda, "mps": torch.mps}.get(kind)
    if backend is not None and index >= backend.device_count():
        found = f"{backend.device_count()} such device(s)"
        raise ConfigError(f"--device {device}: torch finds {found}; use cpu, or install torch for your GPU")
    return device


def _stamp(name: str) -> str:
    if name == "tree":
        return ""
    from clickgrain.weights import TENSORS, find_model, hash_file

    weights = find_model(name) / TENSORS
    return f"@{hash_file(weights)[:8]}" if weights.is_file() else ""  # its absence is reported by the loader
