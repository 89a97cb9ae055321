"""The image set: photos and composites, seen through matrices."""

import tarfile

import cv2
import numpy as np
import psutil
import pytest
import torch
from scipy import ndimage

from clickgrain import devices as memory
from clickgrain.errors import TrainingError
from clickgrain.images import ReadReport, resize_long_side
from clickgrain.progress import Quiet
from clickgrain.proposals.pipeline import propose
from clickgrain.proposals.store import ProposalStore
from clickgrain.training import composites
from clickgrain.training import image_set as module
from clickgrain.training.prepare import choose_photos, load_image_set, prepare
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
def test_crops_see_a_picture_through_its_matrix(image_set, name):
    matrix = np.array(MATRICES[name], float)
    crop = image_set.crops([1], torch.from_numpy(matrix)[None], 64)
    assert crop.shape == (1, 3, 64, 64)
    np.testing.assert_allclose(crop[0].numpy(), through(image_set.image(1), matrix, 64), atol=0.05)


@pytest.mark.parametrize("name", MATRICES)
def test_crops_are_what_opencv_warps(image_set, name):
    matrix = np.array(MATRICES[name], float)
    smooth = cv2.GaussianBlur(image_set.image(0), (0, 0), 4)  # OpenCV rounds positions to 1/32 pixel
    blurred = module.ImageSet(96)
    blurred.add(module.Entry(smooth, image_set.tree(0)), "a")
    crop = blurred.crops([0], torch.from_numpy(matrix)[None], 64)[0].permute(1, 2, 0).numpy()
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(smooth, matrix, (64, 64), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(crop - warped).max() < 1.5


def test_every_picture_of_a_batch_gets_its_own_matrix(image_set):
    matrices = torch.tensor([MATRICES["flip"], MATRICES["zoom in"]], dtype=torch.float64)
    together = image_set.crops([2, 0], matrices, 64)
    for k, i in enumerate((2, 0)):
        assert torch.equal(together[k], image_set.crops([i], matrices[k : k + 1], 64)[0])


def test_crops_are_the_same_where_the_pixels_lie_on_a_device(fresh):
    matrices = torch.tensor([MATRICES["turn"], MATRICES["far outside"]], dtype=torch.float64)
    expected = fresh.crops([3, 1], matrices, 64)
    fresh._on_device = torch.from_numpy(np.stack([module.squared(fresh.image(i), 96) for i in range(4)]))
    assert torch.equal(fresh.crops([3, 1], matrices, 64), expected)


def test_composites_of_some_photos_hold_nothing_of_the_others(make_image_set, composed):
    """Training photos are red and dark, held-out ones have a green patch: no composite may show green."""
    images = []
    for i in range(6):
        image = np.random.default_rng(i).integers(0, 60, (48, 48, 3), dtype=np.uint8)
        image[..., 1] = 0
        cv2.circle(image, (24, 24), 12, (200, 0, 90) if i < 3 else (0, 255, 0), -1)
        images.append(image)
    full = composed(24, make_image_set(images, 48), photos=[0, 1, 2], seed=3)
    for i in range(6, 30):
        # red to magenta, recoloured or JPEG-compressed, is never greener than it is red
        green = full.image(i)[..., 1].astype(int) - full.image(i)[..., 0]
        assert green.max() < 100, i
    leaky = composed(24, make_image_set(images, 48), seed=3)
    assert max((leaky.image(i)[..., 1].astype(int) - leaky.image(i)[..., 0]).max() for i in range(6, 30)) > 150


def test_composites_follow_photos_and_keep_their_trees(image_set, mixed):
    assert (image_set.photos, mixed.photos, len(image_set), len(mixed)) == (4, 4, 4, 7)
    assert mixed.names[4:] == ["composite/000000", "composite/000001", "composite/000002"]
    assert all(np.array_equal(mixed.image(i), image_set.image(i)) for i in range(4))
    assert mixed.tree(2) is mixed.tree(2)
    np.testing.assert_array_equal(mixed.tree(2).children, image_set.tree(2).children)
    np.testing.assert_array_equal(mixed.tree(2).cost, image_set.tree(2).cost)
    for i in (4, 5, 6):
        assert mixed.tree(i).image_size == mixed.size(i) == mixed.image(i).shape[:2] == mixed.mask(i).shape


def test_a_composite_depends_on_seed_and_number_alone(composed, mixed):
    more, other = composed(5, threads=3), composed(3, seed=1)
    for i in (4, 5, 6):
        np.testing.assert_array_equal(more.image(i), mixed.image(i))
        np.testing.assert_array_equal(more.mask(i), mixed.mask(i))
        np.testing.assert_array_equal(more.tree(i).children, mixed.tree(i).children)
        assert not np.array_equal(other.image(i), mixed.image(i))


def test_the_bank_only_grows(composed, extractor):
    """What was there stays as it was, and a second lot of composites follows the first."""
    image_set = composed(2)
    images = [image_set.image(i) for i in range(6)]
    assert composites.add_composites(image_set, 3, extractor, photos=[0, 1], seed=5) == range(6, 9)
    assert all(image_set.image(i) is image for i, image in enumerate(images))
    assert (image_set.photos, len(image_set), len(image_set.names)) == (4, 9, 9)
    with pytest.raises(ValueError, match="late: a photo must be added before all composites"):
        image_set.add(module.Entry(images[0], image_set.tree(0)), "late")


def test_exact_masks_lie_on_the_pixels_that_were_pasted(make_image_set, composed):
    """White disks go into black photos: where it is white, and only there, the mask must say object."""
    black, white = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    cv2.circle(white, (32, 32), 14, (255, 255, 255), -1)
    full = composed(16, make_image_set([black, white], 64))
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


def test_photos_that_nothing_can_be_cut_out_of_give_ellipses(make_image_set, composed, monkeypatch):
    monkeypatch.setattr(composites.pieces, "object_cutout", lambda image: None)
    monkeypatch.setattr(composites.pieces, "region_cutout", lambda *_: None)
    noise = [np.random.default_rng(i).integers(0, 255, (48, 64, 3), dtype=np.uint8) for i in range(2)]
    full = composed(4, make_image_set(noise, 64))
    for i in range(2, 6):
        solid = (full.mask(i) > 0.5).astype(np.uint8)
        contours, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        assert len(contours) == 1
        assert solid.sum() > 0.9 * cv2.contourArea(cv2.convexHull(contours[0]))


def test_no_composites_leave_the_bank_as_it_is(image_set, extractor):
    assert composites.add_composites(image_set, 0, extractor, seed=0) == range(4, 4)
    assert len(image_set) == 4


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

    def test_they_are_in_their_share_of_the_composites_and_change_no_other(self, composed, cutouts):
        without, some = composed(24), composed(24, cutouts=cutouts, share=0.3)
        levels = {i: level for i in range(4, 28) if (level := some.level(i)) is not None}
        assert 3 <= len(levels) <= 12
        assert all(0.85 <= level <= 0.95 for level in levels.values())
        for i in range(4, 28):
            same = i not in levels
            assert without.level(i) is None
            assert np.array_equal(some.image(i), without.image(i)) == same
            assert some.names[i].startswith("composite/" if same else "cutouts-")
            assert same or (some.mask(i) > 0.5).any()

    def test_seed_and_number_alone_decide(self, composed, cutouts):
        few, many = composed(4, cutouts=cutouts, share=1), composed(6, cutouts=cutouts, share=1, threads=3)
        assert all(np.array_equal(many.image(i), few.image(i)) for i in range(8))
        assert [many.level(i) for i in range(4, 8)] == [few.level(i) for i in range(4, 8)]
        assert few.names[:8] == many.names[:8]

    def test_other_files_have_other_names(self, composed, cutouts):
        """So that a run is not resumed on other data."""
        both, one = composed(1, cutouts=cutouts, share=1), composed(1, cutouts=cutouts[:1], share=1)
        assert both.names[4] != one.names[4]


class TestMemory:
    def test_every_image_is_held_once(self, photos, tmp_path, extractor, monkeypatch, settings):
        """After the whole preparation no second array of an image's size is alive."""
        propose(photos, tmp_path / "trees.db", extractor=extractor, progress=False, workers=1)
        made, real = [], module.ImageSet._hold
        monkeypatch.setattr(module.ImageSet, "_hold", lambda self, i, entry: made.append(i) or real(self, i, entry))
        store, args = ProposalStore(tmp_path / "trees.db"), settings({"objects": 0.5})
        data = prepare(choose_photos(photos, store, (), None)[0], store, args, extractor, Quiet(), seed=0)
        assert sorted(made) == list(range(len(data.image_set)))
        for image, _ in [*data.validation.proposals, *data.validation.composites, *data.validation.objects]:
            assert any(image is data.image_set.image(i) for i in range(len(data.image_set)))
        assert data.image_set.described().startswith(f"all {len(made)} images are in memory (")


@pytest.mark.parametrize("version", [1, 2])
class TestAvailableMemory:
    @pytest.fixture
    def limited(self, tmp_path, monkeypatch, version):
        """Writes a limit, a use and a page cache into a cgroup's folder; the process is in /a/b."""
        root = tmp_path / "cgroup"
        (tmp_path / "process").write_text("7:cpu,memory:/a/b\n" if version == 1 else "1:name=systemd:/\n0::/a/b\n")
        monkeypatch.setattr(memory, "CGROUPS", root)
        monkeypatch.setattr(memory, "PROCESS", tmp_path / "process")
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        limit, use, cache = names if version == 1 else ("memory.max", "memory.current", "inactive_file")

        def write(group, most, used, cached=0):
            folder = (root / "memory" if version == 1 else root) / group
            folder.mkdir(parents=True, exist_ok=True)
            (folder / limit).write_text(f"{most}\n")
            (folder / use).write_text(f"{used}\n")
            (folder / "memory.stat").write_text(f"active_file 5\n{cache} {cached}\n")

        return write

    def test_of_the_machine_without_a_limit(self, limited, version):
        limited("a/b", "max" if version == 2 else 2**63 - 4096, 10**6)
        assert memory.available_memory() == pytest.approx(psutil.virtual_memory().available, rel=0.2)

    def test_of_the_container_less_what_it_uses_but_for_cached_files(self, limited):
        limited("a/b", 10**6, 700_000, 200_000)
        assert memory.available_memory() == 500_000

    def test_of_the_narrowest_group_above(self, limited):
        limited("a/b", 10**6, 1000)
        limited("a", 3000, 1000)
        assert memory.available_memory() == 2000

    def test_inside_a_container_that_sees_its_own_root_only(self, limited):
        limited("", 5000, 1000)
        assert memory.available_memory() == 4000

    def test_never_less_than_nothing(self, limited):
        limited("a/b", 1000, 3000)
        assert memory.available_memory() == 0


def test_available_memory_where_there_are_no_cgroups(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "PROCESS", tmp_path / "nowhere")
    assert memory.available_memory() == pytest.approx(psutil.virtual_memory().available, rel=0.2)


class TestLoading:
    @pytest.fixture
    def store(self, photos, tmp_path, extractor):
        propose(photos, tmp_path / "trees.db", extractor=extractor, progress=False, workers=1)
        return ProposalStore(tmp_path / "trees.db")

    def test_photos_in_a_tar_are_those_of_the_folder(self, photos, store, extractor, tmp_path, monkeypatch):
        monkeypatch.setenv("CLICKGRAIN_CACHE", str(tmp_path / "cache"))
        with tarfile.open(tmp_path / "s.tar", "w") as tar:
            tar.add(photos, ".")
        with ProposalStore.create(tmp_path / "tar.db") as trees:
            propose(tmp_path / "s.tar", trees, extractor=extractor, progress=False)
            chosen, _ = choose_photos(tmp_path / "s.tar", trees, (), extractor.name)
            loaded, expected = load_image_set(chosen, trees, side=64), load_image_set(photos, store, side=64)
            assert [name.removeprefix("s.tar/") for name in loaded.names] == expected.names
            for i in range(6):
                np.testing.assert_array_equal(loaded.image(i), expected.image(i))
                np.testing.assert_array_equal(loaded.tree(i).children, expected.tree(i).children)

    def test_photos_are_shrunk_and_squared(self, photos, store):
        calls = []
        loaded = load_image_set(photos, store, side=64, advance=lambda: calls.append(1))
        assert loaded.names == store.keys() == [*(f"more/p{i}.png" for i in [5]), *(f"p{i}.png" for i in range(5))]
        assert len(loaded) == loaded.photos == 6
        assert [loaded.size(i) for i in range(6)] == [(48, 64)] * 6
        assert len(calls) == 6
        picture = cv2.imread(str(photos / "p2.png"))[..., ::-1]
        np.testing.assert_array_equal(loaded.image(3), resize_long_side(np.ascontiguousarray(picture), 64))
        square = module.squared(loaded.image(3), 64)
        assert square.shape == (64, 64, 3)
        assert (square[48:] == square[47]).all()
        assert loaded.tree(3).image_size == (72, 96)

    def test_only_some_photos(self, photos, store):
        assert load_image_set(photos, store, side=64, keys=["p3.png", "p1.png"]).names == ["p3.png", "p1.png"]

    def test_small_photos_keep_their_size(self, photos, store):
        assert load_image_set(photos, store, side=128, keys=["p0.png"]).size(0) == (72, 96)

    def test_a_photo_that_broke_since_is_left_out(self, photos, store):
        (photos / "p1.png").write_bytes(b"broken")
        (photos / "p4.png").unlink()
        assert load_image_set(photos, store, side=64).names == ["more/p5.png", "p0.png", "p2.png", "p3.png"]

    def test_a_damaged_tree_leaves_its_photo_out_and_is_made_again(self, photos, store, extractor):
        store._connections.get().execute("UPDATE trees SET cost = x'00' WHERE path = 'p2.png'")
        store._connections.get().commit()
        report = ReadReport()
        loaded = load_image_set(photos, store, side=64, report=report)
        assert loaded.names == ["more/p5.png", "p0.png", "p1.png", "p3.png", "p4.png"]
        assert [path for path, reason in report.bad if "was damaged" in reason] == ["p2.png"]
        assert propose(photos, store, extractor=extractor, progress=False, workers=1).done == 1
        assert len(load_image_set(photos, store, side=64)) == 6

    def test_no_photo_at_all_names_store_and_folder(self, store, tmp_path):
        with pytest.raises(
            TrainingError,
            match=r"trees\.db can be read in .*elsewhere \(.*p5.png: no such file.*; run `clickgrain propose`",
        ):
            load_image_set(tmp_path / "elsewhere", store, side=64)


class TestTreesInMemory:
    def test_trees_are_kept_as_far_as_memory_goes(self):
        assert module.trees_in(8e9, 3000) == pytest.approx(8e9 * module.TREES / 3000 / 56, rel=1e-3)
        assert module.trees_in(1e6, 3000) == module.FEWEST_TREES
        assert module.trees_in(1e15, 3000) == module.MOST_TREES

    def test_a_tree_takes_about_as_much_as_is_reckoned_with(self):
        rng = np.random.default_rng(0)
        tree = build_tree(rng.normal(size=(56, 56, 3)).astype(np.float32), (224, 224))
        tree.mask(tree.root), tree.level, tree.siblings(0)
        arrays = {id(value): value.nbytes for value in vars(tree).values() if isinstance(value, np.ndarray)}
        assert 0.5 < sum(arrays.values()) / (module.BYTES_PER_LEAF * tree.n_leaves) < 1.3

    def test_what_was_evicted_is_the_same_when_made_again(self, fresh, monkeypatch):
        monkeypatch.setattr(module, "trees_in", lambda memory, leaves: 1)
        for kind in ("tree", "edge_tree", "hidden"):
            first = getattr(fresh, kind)(0)
            getattr(fresh, kind)(1)
            again = getattr(fresh, kind)(0)
            assert again is not first
            trees = [getattr(found, "tree", found) for found in (first, again)]
            np.testing.assert_array_equal(trees[0].children, trees[1].children)
