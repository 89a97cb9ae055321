"""Settings of proposals: the `propose` command, samplers of regions, and composites. Imports nothing heavy."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from clickgrain.errors import ConfigError, check_range

Linkage = Literal["ward", "average", "cosine"]
SamplerName = Literal["paper", "area", "level"]


@dataclass(frozen=True)
class Shard:
    """Part `index` (1-based) of `count` of a folder.

    A file belongs to a shard by the hash of its relative path, so adding files moves no other file.
    """

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read "i/n", e.g. "2/4" for the second of four parts. Raises ConfigError: for any other text."""
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        index, count = (0, 0) if found is None else map(int, found.groups())
        if not 1 <= index <= count:
            raise ConfigError(f"--shard {text!r} is not i/n with 1 <= i <= n; write e.g. 2/4 for part 2 of 4")
        return cls(index, count)

    def holds(self, key: str) -> bool:
        """Whether the file of that relative path (with / between folders) is in this part."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1


@dataclass(frozen=True)
class ProposeArgs:
    """Build the merge tree of every photo in a folder and keep the trees in a store.

    Run it again to continue where it stopped: photos that have their tree are skipped, new and changed ones are
    done.
    """

    # folder of photos, walked recursively; or a list of addresses (.txt, .csv), WebDataset tars, or a folder, list
    # or tar at s3://, gs:// or https://.
    photos: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS")]
    # SQLite file that keeps the trees, or a folder of such files; existing ones are continued. A file at a URL is
    # copied here, and back at the end.
    store: Annotated[str, tyro.conf.arg(name="out", metavar="STORE")]
    extractor: str = "default"  # "default", "color-texture", a Hugging Face id or a local folder.
    device: str = "cpu"  # torch device of the extractor, e.g. cpu or cuda.
    shard: str = "1/1"  # "i/n": only part i of n of the photos (1-based), for several machines.
    # patterns of files and folders to leave out, e.g. "*_mask.png".
    ignore: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PATTERN")] = ()
    batch: int = 16  # images per forward pass.
    workers: int = 0  # threads that read, and as many that merge; 0 chooses by the number of cores.
    # larger photos are shrunk to this many pixels before features are computed; 0 never shrinks.
    long_side: int = 512
    connectivity: Literal[0, 4, 8] = 4  # 4 or 8 neighbors on the patch grid, or 0 for no spatial constraint.
    linkage: Linkage = "ward"  # merging cost; ward is the paper's.
    # local: threads of this process; ray: Ray, on this machine or a cluster; --out is then a folder.
    engine: Literal["local", "ray"] = "local"
    address: str = ""  # ray: of a running cluster; left out, Ray starts on this machine with --workers CPUs.

    def __post_init__(self) -> None:
        if self.address and self.engine != "ray":
            raise ConfigError(f"--address {self.address} is of no use without --engine ray")
        if self.engine == "ray" and "://" in self.store:
            raise ConfigError(f"--engine ray: all machines write; give --out a folder they see, not {self.store}")
        Shard.parse(self.shard)
        check_range(self, "batch", 1)
        check_range(self, "workers long_side", 0)
        if self.connectivity not in (0, 4, 8):
            raise ConfigError(f"--connectivity {self.connectivity} is unknown; use 4, 8, or 0 for none")
        if self.linkage not in ("ward", "average", "cosine"):
            raise ConfigError(f"--linkage {self.linkage!r} is unknown; use ward, average or cosine")


@dataclass(frozen=True)
class StoreArgs:
    """Check, join or shrink stores of merge trees."""

    # verify: unpack every tree, remove damaged ones and name them; compact: drop trees that are held twice and give
    # unused space back.
    action: Annotated[Literal["verify", "compact"], tyro.conf.Positional, tyro.conf.arg(metavar="ACTION")]
    # store, folder of shards (*.db), or a pattern in quotes. Repeat for more.
    store: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="STORE")]
    # compact: join all trees in this file, which must not exist, and leave the others alone.
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None

    def __post_init__(self) -> None:
        if not self.store:
            raise ConfigError(f"`clickgrain store {self.action}` needs a store; name a file or a folder of *.db")
        if self.out is not None and self.action != "compact":
            raise ConfigError("--out joins stores; use it with `clickgrain store compact`")


@dataclass(frozen=True)
class Sampler:
    """How proposals are drawn from a merge tree.

    - `paper`: from the root, while u ~ U(0, 1) <= p (p starts at 1), to a random child, then p *= decay
      (MIS, section 3). Regions of at most `min_area` are rejected; after 100 tries the largest of them is taken.
    - `area`: log-area balanced: every octave share of area is as likely, whatever number of nodes it holds.
    - `level`: level balanced: every stretch of granularity is as likely.

    `area` and `level` never draw the whole image. Raises ConfigError: a value out of range; names the flag.
    """

    name: SamplerName = "paper"
    decay: float = 0.9  # `paper` only, 0 < decay <= 1; smaller stops higher up
    min_area: float = 0.05  # fraction of the leaves that a region must exceed
    max_area: float = 1.0  # fraction of the leaves that a region may have at most

    def __post_init__(self) -> None:
        if self.name not in ("paper", "area", "level"):
            raise ConfigError(f"--sampler.name {self.name!r} is no sampler; use paper, area or level")
        if not 0.0 < self.decay <= 1.0:
            raise ConfigError(f"--sampler.decay {self.decay!r} is outside 0..1; the paper uses 0.9")
        if not 0.0 <= self.min_area < self.max_area <= 1.0:
            raise _no_areas("--sampler", self.min_area, self.max_area, "0.002 and 0.8")


PAPER = Sampler()
AREA = Sampler("area", min_area=0.002, max_area=0.8)
LEVEL = Sampler("level", min_area=0.002, max_area=0.8)


@dataclass(frozen=True)
class CompositeSettings:
    """How a cut-out piece is changed and put into another photo; every value is drawn per composite."""

    min_area: float = 0.005  # smallest part of the image that the piece is scaled to cover
    max_area: float = 0.6  # largest part; the logarithm is uniform between the two
    max_upscale: float = 2.0  # pieces are enlarged at most so many times, except to reach `min_area`
    rotation: float = 30.0  # degrees to either side
    flip: float = 0.5  # probability of mirroring
    jitter: float = 0.5  # strength of the change of brightness, contrast, saturation and hue; 0 leaves colors alone
    match: float = 0.5  # 0..1, how far the mean color may be drawn towards the new surroundings
    feather: float = 1.0  # widest standard deviation, in pixels, of the edge's softening
    blur: float = 0.3  # probability of blurring the piece a little
    finish: float = 0.5  # probability of blurring or JPEG-compressing the whole image a little, which hides seams
    # smallest and largest long side of the piece, as parts of the image's long side, log-uniform; instead of the
    # areas
    sides: tuple[float, float] | None = None
    # strength of a gradient of light over the piece, and of the surroundings' contrast and saturation
    light: float = 0.0
    shadow: float = 0.0  # probability of a soft shadow that the piece casts
    noise: float = 0.0  # strength of a camera's noise over the whole image

    def __post_init__(self) -> None:
        if self.sides is not None and not 0.0 < self.sides[0] <= self.sides[1]:
            raise ConfigError(f"--composite.sides {self.sides!r} is no range above 0; e.g. 0.05 and 0.8")
        if not 0.0 < self.min_area <= self.max_area <= 1.0:
            raise _no_areas("--composite", self.min_area, self.max_area, "0.005 and 0.6")
        check_range(self, "flip jitter match blur finish light shadow noise", 0, 1, prefix="--composite.")
        check_range(self, "max_upscale rotation feather", 0, prefix="--composite.")


def _no_areas(flag: str, least: float, most: float, example: str) -> ConfigError:
    said = f"{flag}.min-area {least!r} and {flag}.max-area {most!r} are no range inside 0..1"
    return ConfigError(f"{said}; they are fractions of the image, e.g. {example}")
