"""Predictors by the names that the command line takes, and devices."""

from dataclasses import dataclass

from clickgrain.errors import ConfigError
from clickgrain.evaluation.methods import Method


@dataclass(frozen=True)
class Candidate:
    """A predictor that is known to exist but not loaded yet.

    Attributes:
        name: as typed.
        identity: `name` and a hash of its weights, so that results of an older checkpoint in the same folder are
            never taken over.
        load: makes the predictor, in this process or in another.
    """

    name: str
    identity: str
    load: Method


def find_predictor(name: str, *, device: str = "cpu", extractor: str | None = None) -> Candidate:
    """A baseline ("opencv-grabcut"), "tree", "default", a model folder or a Hugging Face id.

    Args:
        name: as typed.
        device: of the model and of the extractor.
        extractor: whose features make the merge trees; None: what the model was trained with.

    Raises:
        WeightsError: when there is no such model.
    """
    method = Method(name, device, extractor)
    return Candidate(name, method.identity, method)


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
