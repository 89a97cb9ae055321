"""GeoJSON: rings fill to the mask, wind as RFC 7946 wants, and lie where the GeoTIFF lies."""

import json
import struct
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from matplotlib.path import Path

from clickgrain.export.formats import export_files
from clickgrain.export.geojson import Georeference, georeference
from clickgrain.export.records import ImageRecord, ObjectRecord

SIZE = (12, 14)
UTM = [  # GeoKeyDirectory: projected, EPSG:32632
    (33550, "d", 3, (0.5, 0.5, 0.0)),
    (33922, "d", 6, (0.0, 0.0, 0.0, 500000.0, 5400000.0, 0.0)),
    (34735, "H", 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632)),
]


def features(mask, **settings):
    image = ImageRecord("a/b.tif", mask.shape, lambda: [ObjectRecord(mask, "roof", {"steps": []})])
    ((name, content),) = export_files("geojson", [image], [], **settings)
    assert name == "a/b.geojson"
    return json.loads(content)


def filled(shapes, size):
    """Pixels whose centers lie in some polygon by matplotlib's rule (nonzero winding: holes turn the other way)."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    centers = np.column_stack([x.ravel(), y.ravel()])
    mask = np.zeros(size, bool)
    for rings in shapes:
        inside = [Path(ring).contains_points(centers).reshape(size) for ring in rings]
        mask |= inside[0] & ~np.any(inside[1:], axis=0) if len(rings) > 1 else inside[0]
    return mask


def turn(ring):
    x, y = np.array(ring).T
    return (x[:-1] * y[1:] - x[1:] * y[:-1]).sum()


@settings(deadline=None, max_examples=60)
@given(mask=arrays.arrays(bool, SIZE, elements=st.booleans()).filter(np.any))
def test_every_mask_comes_back_with_its_holes(mask):
    (feature,) = features(mask)["features"]
    assert feature["properties"] == {"label": "roof", "clickgrain": {"steps": []}}
    shapes = feature["geometry"]["coordinates"]
    assert (filled(shapes, SIZE) == mask).all()
    for rings in shapes:
        assert all(ring[0] == ring[-1] for ring in rings)
        assert [turn(ring) > 0 for ring in rings] == [True] + [False] * (len(rings) - 1)


def test_an_island_in_a_lake_is_a_polygon_and_the_lake_a_hole():
    mask = np.zeros((9, 9), bool)
    mask[1:8, 1:8] = True
    mask[2:7, 2:7] = False
    mask[4, 4] = True
    (feature,) = features(mask)["features"]
    assert sorted(len(rings) for rings in feature["geometry"]["coordinates"]) == [1, 2]


def test_a_tolerance_leaves_fewer_corners_and_nearly_the_same_pixels():
    y, x = np.mgrid[:120, :120]
    disk = np.hypot(x - 60, y - 60) < 45
    disk &= np.hypot(x - 60, y - 60) > 15
    exact, near = (features(disk, tolerance=t)["features"][0]["geometry"]["coordinates"] for t in (0, 1))
    assert sum(map(len, near[0])) < 0.5 * sum(map(len, exact[0]))
    got = filled(near, disk.shape)
    assert (got & disk).sum() / (got | disk).sum() > 0.97


def test_an_outline_that_a_tolerance_would_flatten_stays():
    mask = np.zeros(SIZE, bool)
    mask[3, 4] = True
    (rings,) = features(mask, tolerance=50)["features"][0]["geometry"]["coordinates"]
    assert (filled([rings], SIZE) == mask).all()


def test_roofs_of_a_geotiff_lie_on_the_map(tmp_path):
    path = tmp_path / "b.tif"
    tags = [(code, kind, count, value, True) for code, kind, count, value in UTM]
    tifffile.imwrite(path, np.zeros((*SIZE, 3), np.uint8), photometric="rgb", extratags=tags)
    place = georeference(path)
    assert place.epsg == 32632
    mask = np.zeros(SIZE, bool)
    mask[2:4, 6:8] = True  # 3 to 4 m east, 1 to 2 m south of the tiepoint
    content = features(mask, locate=lambda name: place)
    assert content["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32632"
    ((ring,),) = content["features"][0]["geometry"]["coordinates"]
    assert turn(ring) > 0
    assert {tuple(corner) for corner in ring} == {
        (500003.0, 5399999.0), (500004.0, 5399999.0), (500004.0, 5399998.0), (500003.0, 5399998.0)
    }  # fmt: skip


def test_rasterio_finds_the_same_pixels_below_the_polygons(tmp_path):
    """Its own GeoTIFFs, north up and turned, and its own filling of polygons."""
    rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed")
    from rasterio.features import rasterize

    mask = np.zeros(SIZE, bool)
    mask[2:9, 3:12] = True
    mask[4:6, 5:8] = False
    mask[0, 0] = True
    for numbers, epsg in (((0.5, 0, 5e5, 0, -0.5, 5.4e6), 32632), ((1e-5, 2e-6, 7.1, 2e-6, -1e-5, 49.2), 4326)):
        path, transform = tmp_path / f"{epsg}.tif", rasterio.Affine(*numbers)
        about = {"driver": "GTiff", "height": SIZE[0], "width": SIZE[1], "count": 1, "dtype": "uint8"}
        with rasterio.open(path, "w", **about, crs=f"EPSG:{epsg}", transform=transform) as file:
            file.write(np.zeros(SIZE, np.uint8), 1)
        place = georeference(path)
        assert place.epsg == epsg
        np.testing.assert_allclose(place.matrix.ravel(), numbers, rtol=1e-12)
        (feature,) = features(mask, locate=lambda name, place=place: place)["features"]
        assert (rasterize([feature["geometry"]], SIZE, transform=transform) == mask).all()


def test_coordinates_of_pixel_centers_are_moved_to_their_corners(tmp_path):
    path = tmp_path / "b.tif"
    keys = (1, 1, 0, 2, 1024, 0, 1, 2, 1025, 0, 1, 2)
    matrix = (2.0, 0.0, 0.0, 10.0, 0.0, -2.0, 0.0, 20.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    tags = [(34264, "d", 16, matrix, True), (34735, "H", 12, keys, True)]
    tifffile.imwrite(path, np.zeros(SIZE, np.uint8), photometric="minisblack", extratags=tags)
    place = georeference(path)
    assert place.matrix.tolist() == [[2.0, 0.0, 9.0], [0.0, -2.0, 21.0]]
    assert place.epsg is None


def test_a_place_without_keys_names_no_coordinate_system(tmp_path):
    path = tmp_path / "b.tif"
    tags = [(*one, True) for one in UTM[:2]]
    tifffile.imwrite(path, np.zeros((*SIZE, 3), np.uint8), photometric="rgb", extratags=tags)
    place = georeference(path)
    assert place.matrix.tolist() == [[0.5, 0.0, 500000.0], [0.0, -0.5, 5400000.0]]
    assert place.epsg is None


@pytest.mark.parametrize("damage", ["none", "text", "short", "turned", "infinite", "keys"])
def test_files_without_a_usable_place_are_in_pixels(tmp_path, damage):
    path = tmp_path / "b.tif"
    tags = {
        "none": [],
        "text": [(33550, "s", 0, "no numbers", True), (33922, "d", 6, UTM[1][3], True)],
        "short": [(33550, "d", 3, UTM[0][3], True), (33922, "d", 2, (1.0, 2.0), True)],
        "turned": [(*one, True) for one in UTM] + [(274, "H", 1, 6, True)],
        "keys": [(*one, True) for one in UTM[:2]] + [(34735, "H", 8, (1, 1, 0, 1, 3072, 34735, 2, 0), True)],
        "infinite": [(33550, "d", 3, (np.inf, 1.0, 0.0), True), (33922, "d", 6, UTM[1][3], True)],
    }[damage]
    tifffile.imwrite(path, np.zeros((*SIZE, 3), np.uint8), photometric="rgb", extratags=tags)
    assert georeference(path) is None
    (tmp_path / "c.png").write_bytes(b"\x89PNG")
    assert georeference(tmp_path / "c.png") is None
    assert georeference(tmp_path / "missing.tif") is None
    assert "crs" not in features(np.ones(SIZE, bool), locate=lambda name: Georeference(np.eye(2, 3), None))


def test_damaged_tags_are_not_told_to_the_terminal(tmp_path):
    """In another process: here pytest's own handler takes what tifffile logs."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros(SIZE, np.uint8), extratags=UTM)
    path.write_bytes(path.read_bytes().replace(struct.pack("<HH", 33922, 12), struct.pack("<HH", 33922, 99)))
    code = f"from clickgrain.export.geojson import georeference; print(georeference({str(path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("None\n", "")
