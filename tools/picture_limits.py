"""Draw where the model in the package fails: docs/images/limits.jpg, for the model card.

    python tools/picture_limits.py [--to FILE]

Photos of scikit-image; every row is one thing that a person would want, after each of some clicks.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from clickgrain.segmenter import Segmenter
from clickgrain.types import Bool, Mask, UInt8

WIDTH, SHOWN = 300, (1, 2, 4)
Clicks = list[tuple[int, int, int]]
CASES: dict[str, Clicks] = {
    "astronaut": [(200, 400, 1), (230, 110, 1), (30, 200, 0), (430, 400, 1)],
    "coffee": [(290, 250, 1), (300, 120, 1), (150, 300, 0), (300, 45, 1)],
    "chelsea": [(250, 200, 1), (120, 60, 1), (430, 40, 0), (60, 250, 1)],
    "rocket": [(322, 180, 1), (322, 330, 1), (200, 100, 0), (380, 400, 0)],
}
"""Photo -> clicks (x, y, label) on a thing: the woman with her helmet, the cup, the cat, the rocket."""


def panel(image: UInt8, mask: Bool, clicks: Clicks) -> UInt8:
    """The photo with the mask's outline and the clicks, WIDTH pixels wide."""
    shown = np.where(mask[..., None], image, image // 3).astype(np.uint8)
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(shown, outlines, -1, (255, 210, 60), 2)
    for x, y, label in clicks:
        cv2.circle(shown, (x, y), 8, (255, 255, 255), -1)
        cv2.circle(shown, (x, y), 6, (20, 160, 70) if label else (210, 40, 50), -1)
    height = round(image.shape[0] * WIDTH / image.shape[1])
    return np.asarray(cv2.resize(shown, (WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)


def row(segmenter: Segmenter, name: str) -> UInt8:
    """One photo after some of its clicks."""
    image = np.ascontiguousarray(getattr(skimage.data, name)()[..., :3])
    segmenter.set_image(image)
    panels, mask = [], None
    for count in range(1, len(CASES[name]) + 1):
        clicks = CASES[name][:count]
        mask = segmenter.predict([(x, y) for x, y, _ in clicks], [label for *_, label in clicks], previous=mask)
        assert isinstance(mask, Mask)
        if count in SHOWN:
            panels.append(panel(image, mask.binary, clicks))
    return np.concatenate(panels, axis=1)


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=Path(__file__).parents[1] / "docs" / "images" / "limits.jpg")
    args = parser.parse_args()
    segmenter = Segmenter.load()
    picture = np.concatenate([row(segmenter, name) for name in CASES], axis=0)
    args.to.parent.mkdir(parents=True, exist_ok=True)
    args.to.write_bytes(cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
    print(args.to)


if __name__ == "__main__":
    main()
