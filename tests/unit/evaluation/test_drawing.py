import base64
import io

import numpy as np
import pytest
from PIL import Image

from clickgrain.clicks.robot import Drawn
from clickgrain.errors import DataError
from clickgrain.evaluation import Benchmark
from clickgrain.evaluation.drawing import data_uri, feature_map, overlay, region_map

SIDE = 48


def decoded(uri: str) -> np.ndarray:
    head, data = uri.split(",", 1)
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_a_mask_is_tinted_inside_and_left_alone_outside(scene):
    image, mask = scene[2]
    drawn = overlay(image, mask, long_side=image.shape[1]).astype(int)
    assert (np.abs(drawn - image)[18, 21] > 5).any()
    assert (drawn[40, 45] == image[40, 45]).all()


def test_clicks_are_drawn_where_they_are_in_two_colours_and_shapes():
    image = np.full((60, 100, 3), 128, np.uint8)
    drawn = overlay(image, clicks=[(20, 30, 1), (80, 30, 0)], long_side=400).astype(int)
    around = [drawn[112:134, x - 11 : x + 12].reshape(-1, 3).mean(0) for x in (82, 322)]
    assert around[0][1] > around[0][0]
    assert around[1][0] > around[1][1]
    corner = [drawn[122 - 8, x - 8] for x in (82, 322)]
    assert (corner[0] == 128).all() or corner[0].mean() > corner[1].mean()


def test_nothing_given_nothing_drawn(scene):
    image = scene[0][0]
    assert (overlay(image, long_side=max(image.shape[:2])) == image).all()


def test_regions_take_their_mean_colour_and_have_borders():
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, :40] = (200, 10, 10)
    image[:, 40:] = (10, 10, 200)
    labels = np.repeat([[0, 1]], 2, 0).repeat(4, 1)
    drawn = region_map(image, labels, long_side=80)
    assert drawn[20, 10].tolist() == [200, 10, 10]
    assert drawn[20, 70].tolist() == [10, 10, 200]
    assert drawn[20, 38:42].tolist() != image[20, 38:42].tolist()


def test_features_become_colours_that_tell_regions_apart():
    features = np.zeros((6, 8, 5), np.float32)
    features[:, 4:] = 1
    drawn = feature_map(features, (60, 80), long_side=80).astype(int)
    assert drawn.shape == (60, 80, 3)
    assert np.abs(drawn[30, 5] - drawn[30, 75]).max() > 100


def test_constant_features_of_two_dimensions_are_drawn():
    assert feature_map(np.ones((4, 4, 2), np.float32), (32, 32), long_side=16).shape == (16, 16, 3)


def test_a_data_uri_holds_the_picture(scene):
    image = np.full((20, 30, 3), (200, 100, 50), np.uint8)
    assert np.abs(decoded(data_uri(image)).astype(int) - image).max() < 8


def test_boxes_and_strokes_are_drawn():
    image = np.full((40, 50, 3), 60, np.uint8)
    box, stroke = Drawn("box", ((5.0, 5.0), (30.0, 30.0))), Drawn("scribble", ((8.0, 8.0), (20.0, 12.0)), 0)
    for one, (x, y) in ((box, (30, 18)), (stroke, (14, 10))):
        drawn = overlay(image, clicks=[one], long_side=400).astype(int)
        before = overlay(image, long_side=400).astype(int)
        assert np.abs(drawn - before)[y * 8 - 8 : y * 8 + 8, x * 8 - 8 : x * 8 + 8].max() > 40


def test_a_target_that_is_not_there_is_named(scene):
    with pytest.raises(DataError, match=r"squares.*no target 'x'"):
        Benchmark.of(scene, "squares").load("x")
