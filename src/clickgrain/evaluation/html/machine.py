"""What the figures were measured on."""

import os
import platform
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from clickgrain import __version__


def machine() -> dict[str, str]:
    """Processor, cores, versions and time, by name; nothing that names a person or a host."""
    return {
        "Processor": f"{_processor()}, {_cores()} cores used",
        "System": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "Versions": ", ".join(f"{name} {_version(name)}" for name in ("torch", "numpy", "opencv-python-headless")),
        "clickgrain": __version__,
        "Time": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    if listed.exists():
        for line in listed.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(unknown)"
