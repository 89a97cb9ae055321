"""GeoJSON (RFC 7946): one file an image, polygons with holes; in map coordinates where the image is a GeoTIFF."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from clickgrain.export.polygons import Loop, area, loops, simplified
from clickgrain.export.records import OURS, UNLABELLED, ImageRecord, name_for
from clickgrain.types import Bool

SCALE, TIEPOINT, MATRIX = 33550, 33922, 34264
"""Tags of GeoTIFF 1.1 (OGC 19-008r4): ModelPixelScale, ModelTiepoint, ModelTransformation."""
POINTS = 2  # GTRasterType where coordinates mean the centers of pixels instead of their corners

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else it tells stderr of every damaged tag


@dataclass(frozen=True)
class Georeference:
    """From pixels to map coordinates."""

    # 2 x 3, applied to (x, y, 1), x and y in pixels from the upper left corner of the image
    matrix: npt.NDArray[np.float64]
    epsg: int | None  # code of the coordinate system, None if the file names none


Locate = Callable[[str], Georeference | None]  # name of an image -> where it lies, None where it is no map


def georeference(path: Path) -> Georeference | None:
    """Where a GeoTIFF lies; None for other files, and for one that is turned by its orientation tag."""
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            tags, keys = page.tags, page.geotiff_tags or {}
            if tags.valueof(274, 1) != 1:
                return None
            if (given := tags.valueof(MATRIX)) is not None:
                matrix = np.array(given, np.float64).reshape(4, 4)[:2][:, [0, 1, 3]]
            else:
                x, y = tags.valueof(SCALE)[:2]
                column, row, _, east, north, _ = tags.valueof(TIEPOINT)[:6]
                matrix = np.array([[x, 0, east - column * x], [0, -y, north + row * y]], np.float64)
            code = int(keys.get("ProjectedCSTypeGeoKey", keys.get("GeographicTypeGeoKey", 0)))
            if int(keys.get("GTRasterTypeGeoKey", 1)) == POINTS:
                matrix[:, 2] -= matrix[:, :2] @ [0.5, 0.5]
    except Exception:  # no TIFF, or without such tags; tifffile raises anything for damaged ones
        return None
    if not np.isfinite(matrix).all():
        return None
    return Georeference(matrix, code if 1024 <= code < 32767 else None)


def geojson_files(
    images: Iterable[ImageRecord], locate: Locate | None = None, tolerance: float = 0.0
) -> Iterator[tuple[str, bytes]]:
    """`<name>.geojson` for every image, a feature for every object."""
    taken = set[str]()
    for image in images:
        place = None if locate is None else locate(image.name)
        content: dict[str, Any] = {"type": "FeatureCollection", "image": image.name}
        if place is not None and place.epsg is not None:  # left from GeoJSON 2008; QGIS and GDAL read it
            content["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{place.epsg}"}}
        content["features"] = []
        for one in image.objects():
            shapes = polygons(one.mask, tolerance)
            rings = [[_ring(ring, i == 0, place) for i, ring in enumerate(shape)] for shape in shapes]
            about = {"label": one.label or UNLABELLED, **({OURS: one.extra} if one.extra else {})}
            geometry = {"type": "MultiPolygon", "coordinates": rings}
            content["features"].append({"type": "Feature", "properties": about, "geometry": geometry})
        yield name_for(image.name, ".geojson", taken), json.dumps(content).encode()


def polygons(mask: Bool, tolerance: float) -> list[list[Loop]]:
    """Polygons of an H x W mask, each its outer ring and then its holes; touching at a corner does not connect."""
    rings = loops(mask)
    outer = [[ring] for ring in rings if area(ring) > 0]
    for hole in (ring for ring in rings if area(ring) < 0):
        around = [one for one in outer if _inside(hole, one[0])]
        min(around, key=lambda one: area(one[0])).append(hole)
    return [[simplified(ring, tolerance) for ring in one] for one in outer]


def _inside(hole: Loop, ring: Loop) -> bool:
    """Whether the pixel on the object's side of a hole's first edge lies in a ring (even-odd rule)."""
    (x, y), (next_x, next_y) = hole[0], hole[1]
    step = np.sign([next_x - x, next_y - y])
    at = np.array([x, y]) + 0.5 * step + 0.5 * np.array([-step[1], step[0]])  # to the right of the edge
    a, b = ring, np.roll(ring, -1, axis=0)
    crosses = (a[:, 1] > at[1]) != (b[:, 1] > at[1])  # edges of loops are vertical or horizontal
    return bool((crosses & (a[:, 0] > at[0])).sum() % 2)


def _ring(ring: Loop, outer: bool, place: Georeference | None) -> Sequence[Sequence[float]]:
    """Closed; outer rings counterclockwise and holes clockwise, as RFC 7946 wants."""
    corners = ring.astype(np.float64)
    if place is not None:
        corners = corners @ place.matrix[:, :2].T + place.matrix[:, 2]
    if (area(corners) > 0) != outer:
        corners = corners[::-1]
    return np.concatenate([corners, corners[:1]]).tolist()
