"""SAM as a pair of ONNX files, by a drawn pair that takes the color under the first click."""

import numpy as np
import pytest

from clickgrain.errors import ConfigError
from clickgrain.evaluation import Benchmark, evaluate
from clickgrain.evaluation.baselines import OnnxSam, load_baseline
from clickgrain.evaluation.baselines.external import onnx_files
from clickgrain.evaluation.methods import Method
from tests.sam_pair import write_pair

pytest.importorskip("onnxruntime")


@pytest.fixture
def image():
    """A blue box and a red one on grey, 48 x 64."""
    image = np.full((48, 64, 3), 120, np.uint8)
    image[8:24, 8:28] = (40, 60, 200)
    image[28:44, 36:60] = (200, 40, 40)
    return image


def box(left, top, right, bottom):
    mask = np.zeros((48, 64), bool)
    mask[top:bottom, left:right] = True
    return mask


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("full", [False, True])
def test_a_click_takes_what_the_pair_says(tmp_path, image, plain, full):
    write_pair(tmp_path, plain=plain, full=full)
    sam = load_baseline(f"onnx:{tmp_path}")
    assert isinstance(sam, OnnxSam)
    sam.set_image(image)
    found = sam.predict([[15, 15]], [1])
    assert iou(found.binary, box(8, 8, 28, 24)) > 0.8  # its grid has cells of a pixel or two
    assert iou(sam.predict([[45, 35]], [1]).binary, box(36, 28, 60, 44)) > 0.8
    assert found.probability.min() >= 0
    assert found.probability.max() <= 1


def test_a_single_click_has_readings_and_the_next_one_starts_from_the_answer(tmp_path, image):
    write_pair(tmp_path, masks=4)
    sam = load_baseline(f"onnx:{tmp_path}")
    sam.set_image(image)
    first = sam.predict([[15, 15]], [1])
    assert first.score == pytest.approx(0.9)
    assert [one.score for one in first.alternatives] == pytest.approx([0.8, 0.7])
    again = sam.predict([[15, 15], [50, 5]], [1, 0], previous=first)
    assert again.score == pytest.approx(0.5)  # of the mask for several clicks
    assert again.alternatives == []
    # the drawn decoder adds the logits of the mask before: what was unsure is surer
    assert again.probability[15, 15] > sam.predict([[15, 15], [50, 5]], [1, 0]).probability[15, 15]


def test_a_box_is_two_points_with_labels_of_their_own(tmp_path, image):
    write_pair(tmp_path)
    sam = load_baseline(f"onnx:{tmp_path}")
    sam.set_image(image)
    assert iou(sam.predict(None, None, box=(8, 8, 28, 24)).binary, box(8, 8, 28, 24)) > 0.8  # by its first corner


def test_evaluate_takes_a_pair(tmp_path, image):
    write_pair(tmp_path)
    name = f"onnx:{tmp_path / 'encoder.onnx'},{tmp_path / 'decoder.onnx'}"
    assert isinstance(load_baseline(name), OnnxSam)
    result = evaluate(Method(name)(), Benchmark.of([(image, box(8, 8, 28, 24))]), max_clicks=3)
    assert result.iou_at(1) > 0.8
    before = Method(name).stamp
    write_pair(tmp_path, masks=4)
    assert Method(name).stamp != before


def test_what_is_no_pair_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"0 \*encoder\*\.onnx"):
        onnx_files(f"onnx:{tmp_path}")
    write_pair(tmp_path)
    with pytest.raises(ConfigError, match="no pair of SAM: the encoder takes image_embeddings"):
        OnnxSam(f"onnx:{tmp_path / 'decoder.onnx'},{tmp_path / 'encoder.onnx'}")
    with pytest.raises(ConfigError, match="no such file"):
        OnnxSam(f"onnx:{tmp_path / 'encoder.onnx'},{tmp_path / 'nothing.onnx'}")
