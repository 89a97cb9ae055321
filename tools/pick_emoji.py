"""Pick the whole things out of a folder of emoji, for `clickgrain learn --cutouts`.

    npm pack @lobehub/fluent-emoji-3d && tar xzf lobehub-fluent-emoji-3d-*.tgz
    python tools/pick_emoji.py package/assets things

Files are named by code points (`1f3c3-1f3fb-200d-2640.webp`). Things, animals, people, food and vehicles are
copied; flags, keycaps, letters, arrows, clocks, hearts, weather and faces of smileys are not. Of several skin tones
one is copied, another one for each emoji.
"""

import argparse
import shutil
import zlib
from pathlib import Path

# Inclusive ranges of first code points, as Unicode's charts order them.
KEPT = """
2602-2604 260e 2615 2618 2692-2694 2696-2697 2699 26b0-26b1 26bd-26be 26c4 26cf 26d1 26e9-26ea 26f0 26f2
26f4-26f5 26f7-26fa 2702 2708-2709 270a-270d 270f 2712 1f302 1f321 1f32d-1f385 1f388-1f38b 1f38d-1f390
1f392-1f393 1f396-1f397 1f399 1f39e-1f3a5 1f3a7-1f3b4 1f3b7-1f3bb 1f3bd-1f3c0 1f3c2-1f3d5 1f3d7-1f3d8
1f3da-1f3db 1f3df-1f3e6 1f3e8-1f3f0 1f3f5 1f3f7-1f43f 1f441-1f450 1f451-1f478 1f479-1f488 1f489-1f48a
1f48d-1f48e 1f490 1f4a1 1f4a3 1f4aa 1f4b0 1f4b3-1f4b8 1f4ba-1f4c4 1f4c7 1f4cc-1f4da 1f4dd-1f4e1 1f4e6-1f4f2
1f4f7-1f4ff 1f50b-1f50f 1f510-1f514 1f526-1f52e 1f54a-1f54c 1f56f-1f570 1f574-1f57a 1f587-1f590 1f595-1f596
1f5a5-1f5a8 1f5b1-1f5b2 1f5bc 1f5c2-1f5c4 1f5d1-1f5d3 1f5dc-1f5de 1f5e1 1f5f3 1f5ff 1f645-1f64f 1f680-1f6a8
1f6aa 1f6b2 1f6b4-1f6b6 1f6bd 1f6bf-1f6c1 1f6cb-1f6cf 1f6d2 1f6d5-1f6d6 1f6dd-1f6df 1f6e0-1f6e3 1f6e5-1f6fc
1f90c 1f90f 1f916 1f918-1f91f 1f926 1f930-1f96f 1f977 1f97b-1f9e0 1f9e2-1f9ff 1fa70-1fa74 1fa78-1fadf
1faf0-1faf8
"""
LONGEST = 4
"""Most code points without skin tones: longer ones are two dozen families and couples that look alike."""
TONES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}


def kept() -> set[int]:
    """First code points of what is copied."""
    ranges = [[int(end, 16) for end in part.split("-")] for part in KEPT.split()]
    return {code for ends in ranges for code in range(ends[0], ends[-1] + 1)}


def pick(source: Path, target: Path) -> int:
    """Copy the things from one folder to another; returns how many."""
    wanted, variants = kept(), dict[str, list[Path]]()
    for path in sorted(source.glob("*.webp")):
        codes = path.stem.split("-")
        plain = [code for code in codes if code not in TONES]
        if int(codes[0], 16) in wanted and len(plain) <= LONGEST:
            variants.setdefault("-".join(plain), []).append(path)
    target.mkdir(parents=True, exist_ok=True)
    for base, paths in variants.items():
        path = paths[zlib.crc32(base.encode()) % len(paths)]
        shutil.copyfile(path, target / path.name)
    return len(variants)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path, help="folder of the package's WebP files")
    parser.add_argument("target", type=Path, help="folder to fill; made where there is none")
    given = parser.parse_args()
    print(f"{pick(given.source, given.target)} things in {given.target}")
