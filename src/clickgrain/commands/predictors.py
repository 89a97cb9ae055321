"""Torch devices by the names that the command line takes."""

from clickgrain.errors import ConfigError


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
