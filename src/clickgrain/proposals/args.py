"""Arguments of `clickgrain propose`, without torch, cv2 or numba, so that `--help` answers at once."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clickgrain.errors import ConfigError

Linkage = Literal["ward", "average", "cosine"]


@dataclass(frozen=True)
class Shard:
    """Part `index` (1-based) of `count` of a folder.

    A file belongs to a shard by the hash of its relative path, so adding files moves no other file.
    """

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read "i/n", e.g. "2/4" for the second of four parts.

        Raises:
            ConfigError: anything else.
        """
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            raise ConfigError(f"--shard {text!r} is not i/n with 1 <= i <= n; write e.g. 2/4 for part 2 of 4")
        return cls(int(index), int(count))

    def holds(self, key: str) -> bool:
        """Whether the file of that relative path (with / between folders) is in this part."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1


@dataclass(frozen=True)
class ProposeArgs:
    """Build the merge tree of every photo in a folder and keep the trees in a store.

    Attributes:
        photos: folder of photos, walked recursively.
        store: SQLite file that keeps the trees; an existing one is continued.
        extractor: "default", "color-texture", a Hugging Face id or a local folder.
        device: torch device of the extractor, e.g. cpu or cuda.
        shard: "i/n": only part i of n of the photos (1-based), for several machines.
        ignore: patterns of files and folders to leave out, e.g. "*_mask.png".
        batch: images per forward pass.
        workers: threads that read, and as many that merge; 0 chooses by the number of cores.
        long_side: larger photos are shrunk to this many pixels before features are computed; 0 never shrinks.
        connectivity: 4 or 8 neighbours on the patch grid, or 0 for no spatial constraint.
        linkage: merging cost; ward is the paper's.
    """

    photos: Path
    store: Path
    extractor: str = "default"
    device: str = "cpu"
    shard: str = "1/1"
    ignore: tuple[str, ...] = ()
    batch: int = 16
    workers: int = 0
    long_side: int = 512
    connectivity: Literal[0, 4, 8] = 4
    linkage: Linkage = "ward"

    def __post_init__(self) -> None:
        Shard.parse(self.shard)
        if self.batch < 1:
            raise ConfigError(f"--batch {self.batch} is not positive; use 1 or more images per forward pass")
        if self.workers < 0:
            raise ConfigError(f"--workers {self.workers} is negative; use 0 to choose by the number of cores")
        if self.long_side < 0:
            raise ConfigError(f"--long-side {self.long_side} is negative; use e.g. 512, or 0 to keep the size")
        if self.connectivity not in (0, 4, 8):
            raise ConfigError(f"--connectivity {self.connectivity} is unknown; use 4, 8, or 0 for none")
        if self.linkage not in ("ward", "average", "cosine"):
            raise ConfigError(f"--linkage {self.linkage!r} is unknown; use ward, average or cosine")
