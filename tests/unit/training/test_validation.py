"""Validation: which photos are kept, what is clicked on them, what comes out as numbers and pictures."""

import errno

import cv2
import numpy as np
import pytest

from clickgrain.cut import cut_region
from clickgrain.errors import TrainingError
from clickgrain.models.registry import engine_for
from clickgrain.segmenter import Segmenter
from clickgrain.training.validation import TILE, ClickValidator, Validation, make_validation, split, write_preview


class Photos:
    """As much of an image set as `split` looks at."""

    def __init__(self, photos):
        self.photos = photos


class TestSplit:
    @pytest.mark.parametrize(("photos", "held"), [(2, 1), (3, 1), (20, 5), (100, 25), (1000, 64)])
    def test_every_photo_is_on_one_side(self, settings, photos, held):
        train, kept = split(Photos(photos), settings().data, 0)
        assert sorted(train + kept) == list(range(photos))
        assert len(kept) == held
        assert train == sorted(train)

    def test_one_photo_serves_for_both(self, settings):
        assert split(Photos(1), settings().data, 0) == ([0], [0])

    def test_the_seed_decides(self, settings):
        data = settings().data
        assert split(Photos(50), data, 3) == split(Photos(50), data, 3)
        assert split(Photos(50), data, 3) != split(Photos(50), data, 4)


@pytest.fixture(scope="module")
def held_out(composed):
    return composed(3, photos=[1, 3], seed=1)


class TestTargets:
    def test_proposals_are_of_held_out_photos(self, image_set, held_out, settings):
        validation = make_validation(held_out, [1, 3], [4, 5, 6], settings().data, count=5, seed=0)
        assert len(validation.proposals) == 5
        for i, (image, mask) in enumerate(validation.proposals):
            np.testing.assert_array_equal(image, image_set.image([1, 3][i % 2]))
            assert mask.shape == image.shape[:2]
            assert 0.01 < mask.mean() < 0.75

    def test_composites_come_with_their_exact_masks(self, held_out, settings):
        validation = make_validation(held_out, [1, 3], range(4, 7), settings().data, count=2, seed=0)
        assert len(validation.composites) == 2
        for i, (image, mask) in enumerate(validation.composites, start=4):
            np.testing.assert_array_equal(image, held_out.image(i))
            np.testing.assert_array_equal(mask, held_out.mask(i) > 0.5)

    def test_a_bank_without_composites_has_proposals_alone(self, image_set, settings):
        validation = make_validation(image_set, [0], [], settings().data, count=2, seed=0)
        assert (len(validation.proposals), validation.composites) == (2, [])

    def test_hidden_regions_where_training_draws_some(self, image_set, held_out, settings):
        """Regions of the tree that no click map is made of, drawn to the image's edges."""
        made = range(4, 7)
        validation = make_validation(held_out, [1, 3], made, settings({"hidden": 0.5}).data, count=4, seed=0)
        without = make_validation(held_out, [1, 3], made, settings().data, count=4, seed=0)
        assert (len(validation.hidden), without.hidden) == (4, [])
        for i, (image, mask) in enumerate(validation.hidden):
            picture = [1, 3][i % 2]
            np.testing.assert_array_equal(image, image_set.image(picture))
            nodes = image_set.hidden(picture).tree
            size, likely = mask.shape[::-1], []  # snapping all of some thousand nodes takes half a minute
            for node in range(nodes.n_nodes):
                raw = nodes.mask(node).astype(np.float32)
                there = cv2.resize(raw, size, interpolation=cv2.INTER_NEAREST) > 0.5
                if np.count_nonzero(there & mask) > 0.5 * np.count_nonzero(there | mask):
                    likely.append(raw)
            assert any(np.array_equal(mask, cut_region(raw, image)) for raw in likely)
        for (_, mask), (_, other) in zip(validation.proposals, without.proposals):
            np.testing.assert_array_equal(mask, other)

    def test_all_three_figures_are_shown(self, pairs, make_model, tmp_path):
        validation = Validation(pairs, pairs[:1], hidden=pairs[1:])
        metrics = ClickValidator(validation, tmp_path, "cpu")(make_model(), 1)
        assert {name.split()[0] for name in metrics} == {"proposals", "hidden", "composites"}

    def test_the_seed_decides(self, image_set, settings):
        masks = [
            np.concatenate([mask.ravel() for _, mask in make_validation(
                image_set, [0, 1], [], settings().data, count=4, seed=seed).proposals])
            for seed in (0, 0, 1)
        ]  # fmt: skip
        assert np.array_equal(masks[0], masks[1])
        assert not np.array_equal(masks[0], masks[2])


@pytest.fixture(scope="module")
def pairs(image_set):
    mask = np.zeros((72, 96), bool)
    mask[20:50, 30:70] = True
    return [(image_set.image(0), mask), (image_set.image(1), ~mask)]


class TestValidator:
    def test_numbers_and_a_picture(self, pairs, make_model, tmp_path):
        metrics = ClickValidator(Validation(pairs, pairs[:1]), tmp_path, "cpu")(make_model(), 12)
        assert set(metrics) == {
            "proposals NoC85", "proposals mIoU@1", "composites NoC85", "composites mIoU@1"
        }  # fmt: skip
        for name, value in metrics.items():
            assert (1 <= value <= 10) if "NoC" in name else (0 <= value <= 1)
        picture = cv2.imread(str(tmp_path / "previews" / "step-000012.png"))
        assert picture.shape == (3 * TILE, 4 * TILE, 3)

    def test_a_perfect_and_a_hopeless_answer(self, pairs):
        class Fixed:
            def __init__(self, invert):
                self.invert = invert

            def encode(self, image):
                return image

            def answer(self, encoded, prompt, previous):
                from clickgrain.types import Mask

                truth = next(mask for image, mask in pairs if np.array_equal(image, encoded))
                return Mask((truth ^ self.invert).astype(np.float32))

        for invert, noc, iou in ((False, 1.0, 1.0), (True, 10.0, 0.0)):
            results = Validation(pairs, []).run(Segmenter(Fixed(invert), cut=None))
            assert set(results) == {"proposals"}
            assert results["proposals"].noc(0.85) == noc
            assert results["proposals"].iou_at(1) == iou

    def test_nothing_to_validate_on(self, make_model, tmp_path):
        assert ClickValidator(Validation([], []), tmp_path, "cpu")(make_model(), 1) == {}
        assert not (tmp_path / "previews").exists()


@pytest.fixture(scope="module")
def segmenter(make_model):
    return Segmenter(engine_for(make_model()))


class TestPreview:
    @pytest.mark.parametrize("size", [(72, 96), (96, 40), (300, 64), (32, 400)])
    def test_a_row_of_four_tiles_per_target(self, segmenter, drawn, tmp_path, size):
        image = drawn(1, *size)
        mask = np.zeros(size, bool)
        mask[4:28, 4:36] = True
        write_preview(tmp_path / "deep" / "p.png", segmenter, [(image, mask)])
        picture = cv2.imread(str(tmp_path / "deep" / "p.png"))[..., ::-1]
        assert picture.shape == (TILE, 4 * TILE, 3)
        scale = TILE / max(size)
        y, x = int(16 * scale), int(20 * scale)
        shown = picture[:, :TILE].astype(int)
        assert (
            np.abs(shown[y - 2 : y + 2, x - 2 : x + 2].mean((0, 1)) - image[14:18, 18:22].mean((0, 1))).max() < 40
        )
        beside = shown[: int(size[0] * scale), : int(size[1] * scale)][~cv2.dilate(
            cv2.resize(mask.astype(np.uint8), (int(size[1] * scale), int(size[0] * scale))), np.ones((5, 5))
        ).astype(bool)]  # fmt: skip
        assert beside.max() <= 255 // 3 + 1

    def test_a_full_disk(self, segmenter, pairs, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("clickgrain.files.atomic_write", full)
        with pytest.raises(TrainingError, match=r"p\.png: cannot be written \(No space left"):
            write_preview(tmp_path / "p.png", segmenter, pairs)
