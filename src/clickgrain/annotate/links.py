"""Links among the photos: whoever runs the server shows what they have linked, and not what others have.

Somebody who may write to the folder could link to a file that only the server's user may read, and look at it
through the page. So a link out of the folder is followed only if the server's user or root made it, or whoever owns
what it leads to (as Apache's SymLinksIfOwnerMatch).
"""

import os
from pathlib import Path


def leads_astray(folder: Path, below: Path) -> bool:
    """Whether somebody else's link leads from `folder` / `below` out of the folder, whose own path is trusted."""
    if not hasattr(os, "geteuid"):  # Windows: links need a privilege there
        return False
    place, links = str(folder), []
    for part in below.parts:
        place = os.path.join(place, part)  # noqa: PTH118 - ten thousand photos, in tens of milliseconds
        if os.path.islink(place):  # noqa: PTH114
            links.append(Path(place))
    if not any(_is_strange(link) for link in links):
        return False
    return not (folder / below).resolve().is_relative_to(folder.resolve())


def _is_strange(link: Path) -> bool:
    try:
        maker = _owner(link)
        return maker not in (os.geteuid(), 0) and maker != _owner(link.resolve(strict=True))
    except (OSError, RuntimeError):  # it leads nowhere, or round and round
        return True


def _owner(path: Path) -> int:
    """User id of who made a file or link."""
    return path.lstat().st_uid
