"""Which device a network runs on, in which precision, and how much memory there is.

Torch is imported only where it is asked: tree mode and color-texture run without it, and its import takes a second.
"""

import os
from pathlib import Path
from typing import Literal

from clickgrain.errors import ConfigError

WIDE = 1_000_000  # parameters of a network from which on a CPU with AMX is faster in bf16


def process_number() -> tuple[int, int]:
    """(number of this process from 0, number of processes) of a run that torchrun started, else (0, 1)."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def choose_device(name: str) -> str:
    """A torch device by name; "auto" is the GPU if there is one, else the CPU.

    Of several GPUs, each process of a run of torchrun gets its own. Raises ConfigError: there is no such device.
    """
    if name == "cpu":
        return name
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and process_number()[1] > 1:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"--device {name!r} is no device; use auto, cpu, cuda, cuda:1 or mps") from error
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = {"cpu": 1, "cuda": gpus, "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= there.get(device.type, 0):
        seen = ", ".join(kind if i == 0 else f"{kind}:{i}" for kind, count in there.items() for i in range(count))
        raise ConfigError(f"--device {name} is not there; torch sees {seen}, use one of them or auto")
    return name


def resolve_precision(asked: str, device: str, parameters: int) -> Literal["float32", "bf16"]:
    """The precision that a network runs in on a device: what is asked for, or for "auto" what is faster.

    Torch emulates bfloat16 on most CPUs: a step of `grain-small` (0.5 M parameters) takes 1.6 times as long as in
    float32 with AVX512_BF16, 5.2 times with AVX2. With AMX it still takes 1.0 to 1.2 times as long, since its
    channels do not fill the tiles; one of `grain` (2.6 M) takes 0.76 times (`python -m benchmarks train`;
    docs/benchmarks.md has the figures). Raises ConfigError: for another name.
    """
    if asked == "auto":
        import torch

        wide = torch.device(device).type != "cpu" or parameters >= WIDE
        return "bf16" if wide and computes_bf16(device) else "float32"
    if asked not in ("float32", "bf16"):
        raise ConfigError(f"--precision {asked!r} is unknown; use auto, float32 or bf16")
    return "bf16" if asked == "bf16" else "float32"


def computes_bf16(device: str) -> bool:
    """Whether a device multiplies bfloat16 matrices in hardware: GPUs from Ampere on, CPUs with AMX."""
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind != "cpu":
        return False
    if hasattr(torch.cpu, "get_capabilities"):
        return bool(torch.cpu.get_capabilities().get("amx_bf16", False))
    tiles = getattr(torch.cpu, "_is_amx_tile_supported", None)  # before torch 2.10; all CPUs with tiles have bf16
    return tiles is not None and bool(tiles())


CGROUPS, PROCESS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# controller -> folder of its hierarchy, then files with limit and use, and the page cache's line in memory.stat
VERSIONS = {
    "": ("", "memory.max", "memory.current", "inactive_file"),
    "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def available_memory() -> int:
    """Bytes that this process can take without swapping, of the machine and of all its cgroups (version 1 or 2)."""
    import psutil

    least = int(psutil.virtual_memory().available)
    try:
        lines = PROCESS.read_text().splitlines()  # number:controllers:path
    except OSError:  # not Linux
        return least
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for name in VERSIONS.keys() & set(controllers.split(",")):
            below, limit, use, cache = VERSIONS[name]
            # The limits of all groups above hold, too. In a container the path may not exist: the root is ours.
            group = CGROUPS / below / path.lstrip("/")
            for folder in (group, *group.parents):
                try:
                    most = int((folder / limit).read_text())
                    stat = dict(row.split() for row in (folder / "memory.stat").read_text().splitlines())
                    # Cached files count as used, but are given back on demand.
                    least = min(least, most - int((folder / use).read_text()) + int(stat.get(cache, 0)))
                except (OSError, ValueError):  # no such group, or "max": no limit
                    continue
    return max(least, 0)
