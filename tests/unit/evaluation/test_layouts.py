"""Every published layout on a tiny synthetic copy; the expected targets are counted by hand."""

import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from clickgrain.errors import DataError
from clickgrain.evaluation import LOADERS, load_benchmark

SIZE = (6, 8)


def save(root, name, array):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def photo(root, *names):
    for name in names:
        save(root, name, np.full((*SIZE, 3), 90, np.uint8))


def area(value=255, rows=slice(1, 3)):
    """Rows 1 and 2 (16 pixels) of `value` on black."""
    mask = np.zeros(SIZE, np.uint8)
    mask[rows] = value
    return mask


def save_palette(root, name, indices):
    """Indices whose palette is as VOC's: 1 is dark red, 2 dark green, 255 cream."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(indices, "P")
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, *[64] * (252 * 3), 224, 224, 192])
    picture.save(path)


def save_sbd(root, stem, instances):
    (root / "inst").mkdir(exist_ok=True)
    fields = {"Segmentation": instances.astype(np.uint8), "Boundaries": np.zeros(1), "Categories": [[15], [15]]}
    savemat(root / "inst" / f"{stem}.mat", {"GTinst": fields})


def masks(found):
    return {target.id: target.mask(SIZE) for target in found}


def two_labels(first=1, second=2):
    labels = area(first)
    labels[4, :3] = second
    return labels


class TestMasksInPairs:
    def test_berkeley_has_two_objects_in_some_images(self, tmp_path):
        photo(tmp_path, "images/1001.jpg", "images/2_2.jpg", "images/3.jpg", "images/3-1.jpg")
        for stem in ("1001", "1001#2", "1001_3", "2_2", "3", "3-1"):
            save(tmp_path, f"masks/{stem}.png", area(200))
        found = load_benchmark("berkeley", tmp_path)
        assert found.notes[0] == "berkeley: 6 of 100 targets"
        assert "BSDS photos" in found.notes[1]
        images = {target.id: target.image_id for target in found}
        assert images == {"1001": "1001", "1001#2": "1001", "1001_3": "1001", "2_2": "2_2", "3": "3", "3-1": "3-1"}

    @pytest.mark.parametrize(("name", "count"), [("davis", 345), ("coco-mval", 800), ("COCO_MVal", 800)])
    def test_any_colour_is_object(self, tmp_path, name, count):
        photo(tmp_path, "img/a.jpg")
        mask = np.zeros((*SIZE, 3), np.uint8)
        mask[0, 0] = 255, 0, 0
        mask[1, 1] = 0, 1, 0
        mask[2, 2] = 0, 0, 128
        save(tmp_path, "gt/a.png", mask)
        found = load_benchmark(name, tmp_path)
        assert found.notes == [f"{name}: 1 of {count} targets"]
        assert (masks(found)["a"] == np.diag([255, 255, 255, 0, 0, 0, 0, 0])[:6].astype(np.uint8)).all()

    def test_brats_is_the_whole_tumour(self, tmp_path):
        photo(tmp_path, "image/a.png")
        save(tmp_path, "annotation/a.png", two_labels(1, 4))
        found = load_benchmark("brats", tmp_path)
        assert found.notes == ["brats: 1 of 369 targets"]
        assert (masks(found)["a"] > 0).sum() == 16 + 3

    @pytest.mark.parametrize(
        ("name", "images", "masks_folder", "count"),
        [
            ("hqseg-dis", "im", "gt", 470),
            ("hqseg-coift", "images", "masks", 280),
            ("hqseg-hrsod", "images", "masks_max255", 287),
            ("hqseg-thin", "images_test", "masks_test", 500),
        ],
    )
    def test_soft_edges_are_cut_at_half(self, tmp_path, name, images, masks_folder, count):
        photo(tmp_path, f"{images}/a.jpg", f"{images}/b.jpg")
        soft = area()
        soft[0], soft[3] = 127, 128
        save(tmp_path, f"{masks_folder}/a.png", soft)
        found = load_benchmark(name, tmp_path)
        assert found.notes[0] == f"{name}: 1 of {count} targets"
        assert found.notes[1].endswith("b.jpg: left out, it has no mask")
        assert masks(found)["a"][:, 0].tolist() == [0, 255, 255, 255, 0, 0]


class TestSBD:
    @pytest.fixture
    def root(self, tmp_path):
        photo(tmp_path, "img/x.jpg", "img/y.jpg", "img/z.jpg")
        save_sbd(tmp_path, "x", two_labels(1, 3))
        save_sbd(tmp_path, "y", area(1))
        save_sbd(tmp_path, "z", area(1))
        (tmp_path / "val.txt").write_text("x\ny\n\n")
        (tmp_path / "train.txt").write_text("z\n")
        return tmp_path

    def test_instances_of_the_listed_images(self, root):
        found = load_benchmark("sbd", root)
        assert [target.id for target in found] == ["x#1", "x#3", "y#1"]
        assert found.notes == ["sbd: 3 of 6671 targets", "sbd: 2 of 2857 images"]
        assert {id_: int((mask == 255).sum()) for id_, mask in masks(found).items()} == {
            "x#1": 16,
            "x#3": 3,
            "y#1": 16,
        }

    def test_train(self, root):
        found = load_benchmark("sbd-train", root)
        assert [target.id for target in found] == ["z#1"]
        assert found.notes == ["sbd-train: 1 of 8498 images"]

    def test_bad_files_stop_nothing(self, root):
        (root / "inst" / "x.mat").write_bytes(b"hello")
        save_sbd(root, "z", area(0))
        (root / "val.txt").write_text("x\ny\nz\nmissing\n")
        found = load_benchmark("sbd", root)
        assert [target.id for target in found] == ["y#1"]
        notes = "\n".join(found.notes)
        assert "x.mat: no SBD instances" in notes
        assert "z.mat: left out, there is no object in it" in notes
        assert "missing.jpg: left out, there is no such file" in notes

    def test_another_mat_file(self, root):
        savemat(root / "inst" / "x.mat", {"GTcls": 1})
        assert "x.mat: no SBD instances (no 'GTinst')" in "\n".join(load_benchmark("sbd", root).notes)

    def test_pixels_are_not_kept(self, tmp_path):
        """40 files of 0.26 MB (pixels): listing them holds about one at a time."""
        stems = [f"{number}" for number in range(40)]
        (tmp_path / "val.txt").write_text("\n".join(stems))
        photo(tmp_path, *(f"img/{stem}.jpg" for stem in stems))
        for stem in stems:
            save_sbd(tmp_path, stem, np.ones((512, 512)))
        load_benchmark("sbd", tmp_path)
        tracemalloc.start()
        found = load_benchmark("sbd", tmp_path)
        held, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(found) == 40
        assert held < 0.5e6
        assert peak < 6e6


class TestPascalVOC:
    def test_palette_indices_and_void(self, tmp_path):
        photo(tmp_path, "JPEGImages/x.jpg", "JPEGImages/y.jpg")
        labels = two_labels()
        labels[0] = 255
        save_palette(tmp_path, "SegmentationObject/x.png", labels)
        save(tmp_path, "SegmentationObject/y.png", np.zeros((*SIZE, 3), np.uint8))
        lists = tmp_path / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True)
        (lists / "val.txt").write_text("x\ny\n")
        found = load_benchmark("pascalvoc", tmp_path)
        assert [target.id for target in found] == ["x#1", "x#2"]
        assert found.notes[:2] == ["pascalvoc: 2 of 3417 targets", "pascalvoc: 1 of 1449 images"]
        assert "y.png: mode RGB" in found.notes[2]
        assert masks(found)["x#1"][:, 7].tolist() == [128, 255, 255, 0, 0, 0]
        assert masks(found)["x#2"][:, 0].tolist() == [128, 0, 0, 0, 255, 0]


class TestScans:
    def test_sstem_components_touch_by_sides_only(self, tmp_path):
        photo(tmp_path, "raw/00.tif")
        mask = np.zeros(SIZE, np.uint8)
        mask[0, :2] = mask[1, 2] = 255  # a corner joins nothing
        mask[4:, 5:] = 255
        save(tmp_path, "mitochondria/00.png", mask)
        found = load_benchmark("sstem", tmp_path)
        assert found.notes == ["sstem: 1 of 20 images"]
        assert sorted((value == 255).sum() for value in masks(found).values()) == [1, 2, 6]

    def test_oai_zib_has_a_target_for_every_label(self, tmp_path):
        photo(tmp_path, "image/a.png", "image/b.png", "image/d.png")
        save(tmp_path, "annotation/a.png", two_labels(1, 4))
        save_palette(tmp_path, "annotation/b.png", area(2))
        save(tmp_path, "annotation/c.png", area(2))
        found = load_benchmark("oai-zib", tmp_path)
        assert [target.id for target in found] == ["a#1", "a#4", "b#2"]
        assert found.notes[0] == "oai-zib: 2 of 150 images"
        assert "c.*: left out, there is no such file" in found.notes[1]
        assert "d.png: left out, it has no mask" in found.notes[2]
        assert [(mask == 255).sum() for mask in masks(found).values()] == [16, 3, 16]


@pytest.mark.parametrize("name", LOADERS)
def test_a_wrong_folder_shows_the_tree_and_the_source(tmp_path, name):
    with pytest.raises(DataError) as caught:
        load_benchmark(name, tmp_path / "nowhere")
    message = str(caught.value)
    assert f"not benchmark {name!r}, there is no folder {LOADERS[name].needs[0]!r}; expected:\n" in message
    assert LOADERS[name].tree in message
    assert f"to be had from: {LOADERS[name].source}" in message
    assert all(need.split("/")[0] in LOADERS[name].tree for need in LOADERS[name].needs)


def test_a_missing_list_is_named(tmp_path):
    for folder in ("img", "inst"):
        (tmp_path / folder).mkdir()
    with pytest.raises(DataError, match=r"there is no file 'val\.txt'"):
        load_benchmark("sbd", tmp_path)
    (tmp_path / "val.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match=r"val\.txt: not a list of image names"):
        load_benchmark("sbd", tmp_path)


@pytest.mark.parametrize("name", LOADERS)
def test_every_set_is_documented(name):
    page = Path(__file__).parents[3] / "docs" / "benchmarks.md"
    row = next(line for line in page.read_text().splitlines() if line.startswith(f"| `{name}` |"))
    counts = (LOADERS[name].images, LOADERS[name].targets)
    assert all(f"{count:,}" in row for count in counts if count is not None)


def test_targets_go_to_other_processes(tmp_path):
    photo(tmp_path, "image/a.png")
    save(tmp_path, "annotation/a.png", two_labels())
    target = pickle.loads(pickle.dumps(load_benchmark("oai-zib", tmp_path).targets[1]))
    assert (target.mask(SIZE) == 255).sum() == 3
