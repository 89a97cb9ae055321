"""Devices by name."""

import torch
from lightning_fabric import Fabric

from clickgrain.errors import ConfigError


def choose_device(name: str) -> str:
    """A torch device by name; "auto" is the GPU where there is one.

    Raises:
        ConfigError: if there is no such device.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"--device {name!r} is no device; use auto, cpu, cuda, cuda:1 or mps") from error
    there = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if (device.index or 0) >= there.get(device.type, 0):
        raise ConfigError(f"--device {name} is not there; torch sees {_seen(there)}, use one of them or auto")
    return name


def fabric_for(device: str) -> Fabric:
    """One process on a device that `choose_device` gave."""
    kind, _, index = device.partition(":")
    return Fabric(accelerator=kind, devices=[int(index)] if index and kind == "cuda" else 1)


def _seen(there: dict[str, int]) -> str:
    return ", ".join(kind if i == 0 else f"{kind}:{i}" for kind, count in there.items() for i in range(count))
