"""How much memory photos and trees may take: what is available, not only free, within the container's limit."""

from pathlib import Path

import psutil

CGROUPS, PROCESS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# controller -> folder of its hierarchy, then files with limit and use, and the page cache's line in memory.stat
VERSIONS = {
    "": ("", "memory.max", "memory.current", "inactive_file"),
    "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def available_memory() -> int:
    """Bytes that this process can take without swapping, of the machine and of all its cgroups (version 1 or 2)."""
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
