"""The bank: photos and composites, seen through matrices."""

import errno
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from clickgrain.errors import TrainingError
from clickgrain.images import resize_long_side
from clickgrain.proposals import ProposalStore, propose
from clickgrain.training import bank as module
from clickgrain.training.bank import load_bank, with_composites
from clickgrain.tree import build_tree

TURN = np.deg2rad(12)
MATRICES = {
    "identity": [[1, 0, 0], [0, 1, 0]],
    "flip": [[-1, 0, 63], [0, 1, 0]],
    "zoom in": [[0.4, 0, 11.3], [0, 0.4, 7.9]],
    "zoom out": [[1.6, 0, -9.0], [0, 1.6, -20.0]],
    "turn": [[np.cos(TURN), -np.sin(TURN), 14.0], [np.sin(TURN), np.cos(TURN), -3.0]],
    "far outside": [[1, 0, 150.0], [0, 1, -150.0]],
}


def through(image, matrix, side):
    """Bilinear in float64, the border repeated: what `crops` should give."""
    (a, b, tx), (c, d, ty) = matrix
    planes = [
        ndimage.affine_transform(
            image[..., k].astype(float), [[d, c], [b, a]], [ty, tx], (side, side), order=1, mode="nearest"
        )
        for k in range(3)
    ]
    return np.stack(planes)


@pytest.mark.parametrize("name", MATRICES)
def test_crops_see_a_picture_through_its_matrix(bank, name):
    matrix = np.array(MATRICES[name], float)
    crop = bank.crops([1], torch.from_numpy(matrix)[None], 64)
    assert crop.shape == (1, 3, 64, 64)
    np.testing.assert_allclose(crop[0].numpy(), through(bank.image(1), matrix, 64), atol=0.05)


@pytest.mark.parametrize("name", MATRICES)
def test_crops_are_what_opencv_warps(bank, name):
    matrix = np.array(MATRICES[name], float)
    smooth = cv2.GaussianBlur(bank.image(0), (0, 0), 4)  # OpenCV rounds positions to 1/32 pixel
    blurred = module.Bank(
        torch.from_numpy(module.squared(smooth, 96))[None], [smooth.shape[:2]], ["a"], bank.tree, bank.masks
    )
    crop = blurred.crops([0], torch.from_numpy(matrix)[None], 64)[0].permute(1, 2, 0).numpy()
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(smooth, matrix, (64, 64), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(crop - warped).max() < 1.5


def test_every_picture_of_a_batch_gets_its_own_matrix(bank):
    matrices = torch.tensor([MATRICES["flip"], MATRICES["zoom in"]], dtype=torch.float64)
    together = bank.crops([2, 0], matrices, 64)
    for k, i in enumerate((2, 0)):
        assert torch.equal(together[k], bank.crops([i], matrices[k : k + 1], 64)[0])


def test_composites_of_some_photos_hold_nothing_of_the_others(make_bank, extractor):
    """Training photos are red and dark, held-out ones have a green patch: no composite may show green."""
    images = []
    for i in range(6):
        image = np.random.default_rng(i).integers(0, 60, (48, 48, 3), dtype=np.uint8)
        image[..., 1] = 0
        cv2.circle(image, (24, 24), 12, (200, 0, 90) if i < 3 else (0, 255, 0), -1)
        images.append(image)
    full = with_composites(make_bank(images, 48), 24, extractor, photos=[0, 1, 2], seed=3)
    for i in range(6, 30):
        # red to magenta, recoloured or JPEG-compressed, is never greener than it is red
        green = full.image(i)[..., 1].astype(int) - full.image(i)[..., 0]
        assert green.max() < 100, i
    leaky = with_composites(make_bank(images, 48), 24, extractor, seed=3)
    assert max((leaky.image(i)[..., 1].astype(int) - leaky.image(i)[..., 0]).max() for i in range(6, 30)) > 150


def test_composites_follow_photos_and_keep_their_trees(bank, mixed):
    assert (bank.photos, mixed.photos, len(mixed.sizes), len(mixed.masks)) == (4, 4, 7, 3)
    assert mixed.names[4:] == ["composite/000000", "composite/000001", "composite/000002"]
    assert torch.equal(mixed.pixels[:4], bank.pixels)
    assert mixed.tree(2) is bank.tree(2)
    for i in (4, 5, 6):
        assert mixed.tree(i).image_size == mixed.sizes[i] == mixed.image(i).shape[:2] == mixed.mask(i).shape


def test_a_composite_depends_on_seed_and_number_alone(bank, mixed, extractor):
    more = with_composites(bank, 5, extractor, seed=0, threads=3)
    assert torch.equal(more.pixels[:7], mixed.pixels)
    np.testing.assert_array_equal(more.masks[:3], mixed.masks)
    for i in (4, 5, 6):
        np.testing.assert_array_equal(more.tree(i).children, mixed.tree(i).children)
    other = with_composites(bank, 3, extractor, seed=1)
    assert not torch.equal(other.pixels, mixed.pixels)


def test_exact_masks_lie_on_the_pixels_that_were_pasted(make_bank, extractor):
    """White disks go into black photos: where it is white, and only there, the mask must say object."""
    black, white = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    cv2.circle(white, (32, 32), 14, (255, 255, 255), -1)
    full = with_composites(make_bank([black, white], 64), 16, extractor, seed=0)
    seen = 0
    for i in range(2, 18):
        image, mask = full.image(i).astype(float).mean(2), full.mask(i)
        if image.max() < 100 or not image[0].max() < 60:  # the black square, or a white photo in a white one
            continue
        if np.count_nonzero(mask > 0.5) < 0.8 * np.count_nonzero(image > 128):
            continue  # a white object on the white disk's photo: the mask is one of two disks
        difference = np.abs((image / image.max() > 0.5).astype(float) - (mask > 0.5))
        assert difference.sum() < 0.25 * np.count_nonzero(mask > 0.5), i
        seen += 1
    assert seen >= 4


def test_photos_that_nothing_can_be_cut_out_of_give_ellipses(make_bank, extractor, monkeypatch):
    monkeypatch.setattr(module, "object_cutout", lambda image: None)
    monkeypatch.setattr(module, "region_cutout", lambda *_: None)
    noise = [np.random.default_rng(i).integers(0, 255, (48, 64, 3), dtype=np.uint8) for i in range(2)]
    full = with_composites(make_bank(noise, 64), 4, extractor, seed=0)
    for i in range(2, 6):
        solid = (full.mask(i) > 0.5).astype(np.uint8)
        contours, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        assert len(contours) == 1
        assert solid.sum() > 0.9 * cv2.contourArea(cv2.convexHull(contours[0]))


def test_no_composites_leave_the_bank_as_it_is(bank, extractor):
    assert with_composites(bank, 0, extractor, seed=0) is bank


class TestCutouts:
    @pytest.fixture
    def cutouts(self, tmp_path):
        paths = []
        for i, color in enumerate([(220, 30, 40), (20, 200, 60)]):
            rgba = np.zeros((40, 40, 4), np.uint8)
            cv2.circle(rgba, (20, 20), 15, (*color, 255), -1)
            paths.append(tmp_path / f"thing{i}.png")
            assert cv2.imwrite(str(paths[-1]), rgba)
        return paths

    def test_they_are_in_their_share_of_the_composites_and_change_no_other(self, bank, extractor, cutouts):
        without = with_composites(bank, 24, extractor, seed=0)
        some = with_composites(bank, 24, extractor, seed=0, cutouts=cutouts, share=0.3)
        assert 3 <= len(some.levels) <= 12
        assert all(0.85 <= level <= 0.95 for level in some.levels.values())
        for i in range(4, 28):
            same = i not in some.levels
            assert np.array_equal(some.image(i), without.image(i)) == same
            assert some.names[i].startswith("composite/" if same else "cutouts-")
            assert same or (some.mask(i) > 0.5).any()
        assert not with_composites(bank, 2, extractor, seed=0).levels

    def test_seed_and_number_alone_decide(self, bank, extractor, cutouts):
        few = with_composites(bank, 4, extractor, seed=0, cutouts=cutouts, share=1)
        many = with_composites(bank, 6, extractor, seed=0, cutouts=cutouts, share=1, threads=3)
        assert torch.equal(many.pixels[:8], few.pixels)
        assert {i: many.levels[i] for i in range(4, 8)} == few.levels
        assert few.names[:8] == many.names[:8]

    def test_other_files_have_other_names(self, bank, extractor, cutouts):
        """So that a run is not resumed on other data."""
        both = with_composites(bank, 1, extractor, seed=0, cutouts=cutouts, share=1)
        one = with_composites(bank, 1, extractor, seed=0, cutouts=cutouts[:1], share=1)
        assert both.names[4] != one.names[4]


class TestMemory:
    def test_pictures_that_do_not_fit_live_in_a_file(self, bank, mixed, extractor, monkeypatch):
        monkeypatch.setattr(module, "_free_memory", lambda: 1000.0)
        on_disk = with_composites(bank, 3, extractor, seed=0)
        assert torch.equal(on_disk.pixels, mixed.pixels)
        assert isinstance(module._room(2, 32), np.memmap)
        assert not module._room(2, 32).any()

    def test_a_full_disk_is_said_before_it_is_written_to(self, monkeypatch):
        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(module, "_free_memory", lambda: 1000.0)
        monkeypatch.setattr(module.os, "posix_fallocate", full)
        with pytest.raises(TrainingError, match=r"9 photos of 64 x 64 pixels .*No space left on device"):
            module._room(9, 64)

    def test_systems_that_do_not_tell_their_memory(self, monkeypatch):
        def unknown(name):
            raise ValueError("unrecognized configuration name")

        monkeypatch.setattr(module.os, "sysconf", unknown)
        assert not isinstance(module._room(2, 32), np.memmap)


class TestLoading:
    @pytest.fixture
    def store(self, photos, tmp_path, extractor):
        propose(photos, tmp_path / "trees.db", extractor=extractor, progress=False, workers=1)
        return ProposalStore(tmp_path / "trees.db")

    def test_photos_are_shrunk_and_squared(self, photos, store):
        calls = []
        loaded = load_bank(photos, store, side=64, advance=lambda: calls.append(1))
        assert loaded.names == store.keys() == [*(f"more/p{i}.png" for i in [5]), *(f"p{i}.png" for i in range(5))]
        assert loaded.pixels.shape == (6, 64, 64, 3)
        assert loaded.sizes == [(48, 64)] * 6
        assert len(calls) == 6
        picture = cv2.imread(str(photos / "p2.png"))[..., ::-1]
        np.testing.assert_array_equal(loaded.image(3), resize_long_side(np.ascontiguousarray(picture), 64))
        square = loaded.pixels[3].numpy()
        assert (square[48:] == square[47]).all()
        assert loaded.tree(3).image_size == (72, 96)

    def test_only_some_photos(self, photos, store):
        assert load_bank(photos, store, side=64, keys=["p3.png", "p1.png"]).names == ["p3.png", "p1.png"]

    def test_small_photos_keep_their_size(self, photos, store):
        assert load_bank(photos, store, side=128, keys=["p0.png"]).sizes == [(72, 96)]

    def test_a_photo_that_broke_since_is_left_out(self, photos, store):
        (photos / "p1.png").write_bytes(b"broken")
        (photos / "p4.png").unlink()
        assert load_bank(photos, store, side=64).names == ["more/p5.png", "p0.png", "p2.png", "p3.png"]

    def test_no_photo_at_all_names_store_and_folder(self, store, tmp_path):
        with pytest.raises(TrainingError, match=r"trees\.db can be read in .*elsewhere; run `clickgrain propose`"):
            load_bank(tmp_path / "elsewhere", store, side=64)


class TestTreesInMemory:
    def test_trees_are_kept_as_far_as_memory_goes(self, monkeypatch):
        monkeypatch.setattr(module, "_free_memory", lambda: 10e9)
        assert module.trees_in_memory(3000) == pytest.approx(10e9 * module.MEMORY_SHARE / 3000 / 56, rel=1e-3)
        monkeypatch.setattr(module, "_free_memory", lambda: 1e6)
        assert module.trees_in_memory(3000) == module.FEWEST_TREES
        monkeypatch.setattr(module, "_free_memory", lambda: float("inf"))
        assert module.trees_in_memory(3000) == module.MOST_TREES

    def test_a_tree_takes_about_as_much_as_is_reckoned_with(self):
        rng = np.random.default_rng(0)
        tree = build_tree(rng.normal(size=(56, 56, 3)).astype(np.float32), (224, 224))
        tree.mask(tree.root), tree.level, tree.siblings(0)
        arrays = {id(value): value.nbytes for value in vars(tree).values() if isinstance(value, np.ndarray)}
        assert 0.5 < sum(arrays.values()) / (module.BYTES_PER_LEAF * tree.n_leaves) < 1.3

    def test_what_was_forgotten_is_the_same_when_made_again(self, bank, monkeypatch):
        monkeypatch.setattr(module, "trees_in_memory", lambda leaves: 1)
        small = replace(bank)
        for kind in ("edge_tree", "hidden"):
            first = getattr(small, kind)(0)
            getattr(small, kind)(1)
            again = getattr(small, kind)(0)
            assert again is not first
            trees = [getattr(found, "tree", found) for found in (first, again)]
            np.testing.assert_array_equal(trees[0].children, trees[1].children)
