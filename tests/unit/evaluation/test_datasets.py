import numpy as np
import pytest
from PIL import Image

from clickgrain.errors import DataError, ImageError
from clickgrain.evaluation import Benchmark, load_benchmark, size_class


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def picture(value=9):
    return np.full((6, 8, 3), value, np.uint8)


def trimap():
    mask = np.zeros((6, 8), np.uint8)
    mask[1:4, 2:5] = 255
    mask[1:4, 5] = 128
    return mask


@pytest.fixture
def generic(tmp_path):
    save(tmp_path / "images" / "a.b.png", picture())
    save(tmp_path / "images" / "c.jpg", picture())
    for name in ("a.b#10", "a.b#2", "c#0"):
        save(tmp_path / "masks" / f"{name}.png", trimap())
    return tmp_path


def load_mask(benchmark, index=0):
    return benchmark.targets[index].mask((6, 8))


class TestGenericLayout:
    def test_targets_in_order_of_their_numbers(self, generic):
        found = load_benchmark("drawn", generic)
        assert [target.id for target in found] == ["a.b#2", "a.b#10", "c#0"]
        assert [[target.id for target in group] for group in found.by_image()] == [["a.b#2", "a.b#10"], ["c#0"]]
        assert (len(found), found.name, found.notes) == (3, "drawn", [])
        assert (load_mask(found) == trimap()).all()
        assert found.targets[0].image().shape == (6, 8, 3)

    def test_reads_nothing_before_it_is_asked(self, generic):
        (generic / "images" / "c.jpg").write_bytes(b"")
        found = load_benchmark("drawn", generic)
        with pytest.raises(ImageError, match=r"c\.jpg"):
            found.targets[2].image()

    def test_what_is_left_out_is_noted(self, generic):
        save(generic / "masks" / "d#0.png", trimap())
        save(generic / "masks" / "plain.png", trimap())
        save(generic / "images" / "e.png", picture())
        save(generic / "images" / "c.png", picture())
        (generic / "images" / ".hidden").write_text("")
        found = load_benchmark("drawn", generic)
        assert len(found) == 2
        notes = "\n".join(found.notes)
        assert "d#0.png: left out, there is no image called 'd'" in notes
        assert "plain.png: left out, a mask is called <id>#<k>.png" in notes
        assert "e.png: left out, it has no mask" in notes
        assert "c#0.png: left out, there are 2 images called 'c'" in notes
        assert ".hidden" not in notes

    def test_a_wrong_folder_shows_the_expected_tree(self, tmp_path):
        with pytest.raises(DataError, match=r"no folder 'images'; expected:\n  images/<id>"):
            load_benchmark("drawn", tmp_path)

    def test_an_empty_set_is_an_error(self, tmp_path):
        (tmp_path / "images").mkdir()
        save(tmp_path / "masks" / "d#0.png", trimap())
        with pytest.raises(DataError, match=r"no target found(.|\n)*d#0\.png: left out"):
            load_benchmark("drawn", tmp_path)


class TestGrabCutLayout:
    def test_codes_and_the_number_of_targets(self, tmp_path):
        mask = np.zeros((6, 8), np.uint8)
        mask[0] = 64
        mask[1] = 128
        mask[2] = 200
        mask[3] = 255
        save(tmp_path / "data_GT" / "x.jpg", picture())
        save(tmp_path / "boundary_GT" / "x.bmp", mask)
        found = load_benchmark("grabcut", tmp_path)
        assert found.notes == ["grabcut: 1 of 50 targets"]
        assert load_mask(found)[:, 0].tolist() == [0, 128, 255, 255, 0, 0]
        assert [target.id for target in found] == ["x"]

    def test_a_complete_set_needs_no_note(self, tmp_path):
        for number in range(50):
            save(tmp_path / "data_GT" / f"{number}.bmp", picture())
            save(tmp_path / "boundary_GT" / f"{number}.bmp", trimap())
        assert load_benchmark("grabcut", tmp_path).notes == []

    def test_another_layout_is_recognised(self, generic):
        with pytest.raises(DataError, match=r"no folder 'data_GT'(.|\n)*generic layout: give it another name"):
            load_benchmark("grabcut", generic)


class TestMasks:
    @pytest.mark.parametrize(
        ("mask", "message"),
        [
            (np.zeros((6, 8), np.uint8), "no object pixel"),
            (np.full((6, 8), 128, np.uint8), "no object pixel"),
            (np.eye(6, 8, dtype=np.uint8), r"grey values \[1\]"),
            (np.full((5, 8), 255, np.uint8), r"\(5, 8\) is not that of its image, \(6, 8\)"),
            (np.full((8, 6), 255, np.uint8), r"\(8, 6\) is not that of .* sides are swapped: .* EXIF rotation"),
            (np.full((6, 8), 40000, np.uint16), "plain grey 8-bit"),
            (np.tile(np.array([255, 0, 0], np.uint8), (6, 8, 1)), "it has colors"),
        ],
    )
    def test_bad_files_are_named(self, generic, mask, message):
        mask_path = generic / "masks" / "c#0.png"
        save(mask_path, mask)
        with pytest.raises(DataError, match=message) as caught:
            load_mask(load_benchmark("drawn", generic), 2)
        assert str(mask_path) in str(caught.value)

    def test_a_file_that_is_no_image_is_named(self, generic):
        (generic / "masks" / "c#0.png").write_text("hello")
        with pytest.raises(ImageError, match=r"c#0\.png"):
            load_mask(load_benchmark("drawn", generic), 2)

    def test_one_bit_and_palette_files(self, generic):
        Image.fromarray(trimap() > 128).save(generic / "masks" / "c#0.png")
        palette = Image.fromarray((trimap() == 255).astype(np.uint8), "P")
        palette.putpalette([0, 0, 0, 255, 255, 255])
        palette.save(generic / "masks" / "a.b#2.png")
        found = load_benchmark("drawn", generic)
        for index in (0, 2):
            assert (load_mask(found, index) == np.where(trimap() == 255, 255, 0)).all()


class TestInMemory:
    def test_takes_bool_and_trimaps(self):
        found = Benchmark.of([(picture(), trimap() > 128), (picture(), trimap())])
        assert np.unique(load_mask(found, 0)).tolist() == [0, 255]
        assert (load_mask(found, 1) == trimap()).all()
        assert len(list(found.by_image())) == 2

    def test_refuses_other_kinds_when_reached(self):
        found = Benchmark.of([(picture(), trimap().astype(np.float32))])
        with pytest.raises(DataError, match="mask 0: dtype float32"):
            load_mask(found)


@pytest.mark.parametrize(
    ("area", "size"),
    [(0.0, "small"), (0.0299, "small"), (0.03, "medium"), (0.15, "medium"), (0.1501, "large"), (1.0, "large")],
)
def test_size_class(area, size):
    assert size_class(area) == size
