"""SAM's names: shapes and meanings as segment_anything documents them; pycocotools and supervision as oracles."""

import importlib.util
import runpy
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco
from skimage import data

from clickgrain.errors import ConfigError, ImageError, PromptError
from clickgrain.sam import SamAutomaticMaskGenerator, SamPredictor
from clickgrain.segmenter import MOST_PIXELS, Segmenter

ROOT = Path(__file__).parents[2]


def drawn(size=(120, 200)):
    """A red disk and a green box on grey, slightly noisy; (image, where the disk is)."""
    y, x = np.mgrid[: size[0], : size[1]]
    disk = np.hypot(x - 60, y - 60) < 32
    image = np.full((*size, 3), 128.0)
    image[disk] = (210, 40, 40)
    image[30:90, 130:180] = (40, 190, 60)
    image += np.random.default_rng(0).normal(0, 3, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), disk


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.fixture(scope="module")
def default():
    return Segmenter.load("default")


@pytest.fixture(scope="module")
def predictor(default):
    predictor = SamPredictor(default)
    predictor.set_image(drawn()[0])
    return predictor


def test_three_masks_with_scores_and_logits_of_sams_shapes(predictor):
    masks, scores, logits = predictor.predict(np.array([[60, 60]]), np.array([1]))
    assert (masks.shape, masks.dtype) == ((3, 120, 200), bool)
    assert (scores.shape, scores.dtype) == ((3,), np.float32)
    assert (logits.shape, logits.dtype) == ((3, 256, 256), np.float32)
    assert iou(masks[scores.argmax()], drawn()[1]) > 0.9
    answer = predictor.model.predict([[60, 60]], [1], encoded=predictor.model.encode(drawn()[0]))
    assert (masks[scores.argmax()] == answer.binary).all()


def test_the_masks_of_a_photo_differ_and_the_answer_ranks_first(default):
    image = data.astronaut()
    other = SamPredictor(default)
    other.set_image(image)
    masks, scores, _ = other.predict([[220, 120]], [1])
    assert len({mask.tobytes() for mask in masks}) == 3
    assert scores.argmax() == 0
    assert (masks[0] == default.predict([[220, 120]], [1], encoded=default.encode(image)).binary).all()


def test_one_mask_and_logits_instead_of_a_mask(predictor):
    masks, scores, logits = predictor.predict([[60, 60]], [1], multimask_output=False)
    full, _, _ = predictor.predict([[60, 60]], [1], multimask_output=False, return_logits=True)
    assert masks.shape == full.shape == (1, 120, 200)
    assert (scores.shape, logits.shape) == ((1,), (1, 256, 256))
    assert full.dtype == np.float32
    assert ((full > 0) == masks).all()


def test_low_resolution_logits_have_the_image_in_their_upper_left_corner(predictor):
    _, _, logits = predictor.predict([[60, 60]], [1], multimask_output=False)
    height = round(120 * 256 / 200)
    assert (logits[0, height:] < 0).all()
    disk = drawn()[1]
    rows, columns = np.arange(height) * 120 // height, np.arange(256) * 200 // 256
    assert iou(logits[0, :height] > 0, disk[np.ix_(rows, columns)]) > 0.9


def test_a_box_as_sam_takes_it(predictor):
    for box in (np.array([125, 25, 186, 96]), np.array([[125, 25, 186, 96]])):
        masks, _, _ = predictor.predict(box=box, multimask_output=False)
        assert masks[0, 60, 155]
        assert not masks[0, 60, 60]


def test_the_last_logits_go_on_from_the_very_mask(predictor):
    clicks = [[60, 60], [155, 60]]
    _, _, logits = predictor.predict(clicks[:1], [1], multimask_output=False)
    masks, _, _ = predictor.predict(clicks, [1, 1], mask_input=logits, multimask_output=False)
    encoded = predictor.model.encode(drawn()[0])
    first = predictor.model.predict(clicks[:1], [1], encoded=encoded)
    second = predictor.model.predict(clicks, [1, 1], previous=first, encoded=encoded)
    assert (masks[0] == second.binary).all()


def test_logits_of_elsewhere_are_read_as_a_mask(predictor):
    _, disk = drawn()
    low = np.full((1, 256, 256), -9, np.float32)
    rows, columns = np.arange(154) * 120 // 154, np.arange(256) * 200 // 256
    low[0, :154] = np.where(disk[np.ix_(rows, columns)], 9, -9)
    masks, _, _ = predictor.predict([[60, 60], [155, 60]], [1, 0], mask_input=low, multimask_output=False)
    assert iou(masks[0], disk) > 0.9


def test_the_level_is_a_keyword_and_gives_one_answer(predictor):
    with pytest.raises(TypeError):
        predictor.predict([[60, 60]], [1], None, None, True, False, 0.3)
    fine, coarse = (predictor.predict([[60, 60]], [1], level=level)[0] for level in (0.05, 0.95))
    assert len(fine) == len(coarse) == 1
    assert fine.sum() < coarse.sum()


def test_bgr_is_turned_round(default):
    image, disk = drawn()
    other = SamPredictor(default)
    other.set_image(image[..., ::-1], image_format="BGR")
    assert other.is_image_set
    assert other.original_size == (120, 200)
    assert iou(other.predict([[60, 60]], [1])[0][0], disk) > 0.9


@pytest.mark.parametrize(
    ("act", "error", "words"),
    [
        (lambda p: SamPredictor(p.model).predict([[1, 1]], [1]), PromptError, "set_image"),
        (lambda p: p.predict(), PromptError, "empty"),
        (lambda p: p.predict([[500, 1]], [1]), PromptError, "outside the image"),
        (lambda p: p.predict([[5, 1]], [1], mask_input=np.zeros((1, 64, 64))), PromptError, "1 x 256 x 256"),
        (lambda p: p.predict([[5, 1]], [1], mask_input=np.full((1, 256, 256), np.nan)), PromptError, "no numbers"),
        (lambda p: p.set_image(np.zeros((4, 4, 3), np.uint8), "HSV"), ConfigError, "'RGB' or 'BGR'"),
        (lambda p: p.set_image(np.zeros((4, 4), np.uint8)), ImageError, "H x W x 3"),
        (lambda p: SamAutomaticMaskGenerator(p.model, output_mode="png"), ConfigError, "coco_rle"),
        (lambda p: SamAutomaticMaskGenerator(p.model, levels=[2]), ConfigError, "0..1"),
    ],
)
def test_what_cannot_be_done_is_said(default, act, error, words):
    other = SamPredictor(default)
    other.set_image(drawn()[0])
    with pytest.raises(error, match=words):
        act(other)


def test_reset_forgets_the_image(default):
    other = SamPredictor(default)
    other.set_image(drawn()[0])
    other.reset_image()
    assert not other.is_image_set
    with pytest.raises(PromptError):
        other.predict([[1, 1]], [1])


@pytest.fixture(scope="module")
def records(default):
    return SamAutomaticMaskGenerator(default, levels=(0.5, 0.85)).generate(drawn()[0])


def test_records_have_sams_keys_and_agree_with_their_masks(records):
    theirs = {"segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box"}
    for record in records:
        assert set(record) == theirs | {"level"}
        mask = record["segmentation"]
        assert (mask.shape, mask.dtype) == ((120, 200), bool)
        rows, columns = np.nonzero(mask)
        x, y, width, height = record["bbox"]
        assert (x, y, x + width - 1, y + height - 1) == (columns.min(), rows.min(), columns.max(), rows.max())
        assert record["area"] == mask.sum()
        assert record["crop_box"] == [0, 0, 200, 120]
        (point,) = record["point_coords"]
        assert mask[round(point[1]), round(point[0])]
        assert 0 <= record["predicted_iou"] <= 1
        assert 0 < record["stability_score"] <= 1
    assert [record["area"] for record in records] == sorted((r["area"] for r in records), reverse=True)


def test_both_objects_are_among_the_regions_and_every_cut_covers_the_image(records):
    _, disk = drawn()
    box = np.zeros_like(disk)
    box[30:90, 130:180] = True
    for thing in (disk, box):
        best = max(records, key=lambda record: iou(record["segmentation"], thing))
        assert iou(best["segmentation"], thing) > 0.9
    finest = [r["segmentation"] for r in records if r["level"] == 0.5]
    assert (sum(mask.astype(int) for mask in finest) == 1).all()


def test_thresholds_leave_out_what_is_below_them(default):
    image = drawn()[0]
    kinds = {
        "pred_iou_thresh": ("predicted_iou", 0.6),
        "stability_score_thresh": ("stability_score", 0.9),
        "min_mask_region_area": ("area", 1000),
    }
    every = SamAutomaticMaskGenerator(default, levels=(0.5, 0.8)).generate(image)
    for name, (key, least) in kinds.items():
        some = SamAutomaticMaskGenerator(default, levels=(0.5, 0.8), **{name: least}).generate(image)
        assert len(some) == sum(record[key] >= least for record in every)
        assert 0 < len(some) < len(every)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
def test_run_lengths_are_cocos(default):
    image, found = drawn()[0], {}
    for mode in ("binary_mask", "uncompressed_rle", "coco_rle"):
        found[mode] = SamAutomaticMaskGenerator(default, levels=(0.8,), output_mode=mode).generate(image)
    for plain, raw, coded in zip(*found.values(), strict=True):
        assert isinstance(coded["segmentation"]["counts"], str)
        assert (coco.decode(coded["segmentation"]).astype(bool) == plain["segmentation"]).all()
        counts = raw["segmentation"]["counts"]
        assert all(isinstance(count, int) for count in counts)
        assert (
            coco.decode(coco.frPyObjects(raw["segmentation"], 120, 200)).astype(bool) == plain["segmentation"]
        ).all()


def test_an_image_above_two_megapixels_is_worked_on_smaller():
    image = np.zeros((1500, 2000, 3), np.uint8)
    image[300:1200, 400:1000] = (200, 40, 40)
    assert image.shape[0] * image.shape[1] > MOST_PIXELS
    records = SamAutomaticMaskGenerator("tree", levels=(0.9,)).generate(image)
    square = np.zeros(image.shape[:2], bool)
    square[300:1200, 400:1000] = True
    best = max(records, key=lambda record: iou(record["segmentation"], square))
    assert iou(best["segmentation"], square) > 0.98
    (point,) = best["point_coords"]
    assert 400 <= point[0] < 1000
    assert 300 <= point[1] < 1200


def test_a_model_without_trees_gets_those_of_color_texture(default):
    class Treeless:
        one_by_one = False
        encode = staticmethod(lambda image: default.engine.encode(image))
        answer = staticmethod(lambda encoded, prompt, previous: default.engine.answer(encoded, prompt, previous))

    class Hidden(Segmenter):
        def encode(self, image):
            encoded = super().encode(image)
            object.__setattr__(encoded, "tree", None)
            encoded.__dict__["tree"] = None
            return encoded

    records = SamAutomaticMaskGenerator(Hidden(Treeless()), levels=(0.8,)).generate(drawn()[0])
    assert len(records) > 1


@pytest.mark.skipif(importlib.util.find_spec("supervision") is None, reason="supervision is not installed")
def test_the_example_draws_regions_with_supervision(tmp_path, monkeypatch):
    import cv2

    image, _ = drawn()
    photo, out = tmp_path / "photo.png", tmp_path / "out.png"
    cv2.imwrite(str(photo), image[..., ::-1])
    monkeypatch.setattr(sys, "argv", ["supervision_masks.py", str(photo), str(out)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runpy.run_path(str(ROOT / "examples" / "supervision_masks.py"), run_name="__main__")
    drawn_on = cv2.imread(str(out))
    assert drawn_on.shape == image.shape
    assert (drawn_on != image[..., ::-1]).mean() > 0.5
