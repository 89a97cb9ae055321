import os
import threading
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from clickgrain.errors import DataError
from clickgrain.images import ReadReport, find_images, read_image, read_images, walk


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def below(root, **options):
    return [path.relative_to(root).as_posix() for path in find_images(root, **options)]


def test_every_suffix_in_any_case_and_nothing_else(tmp_path):
    names = [f"{index}{suffix}" for index, suffix in enumerate(walk.SUFFIXES)]
    touch(tmp_path, *names, "99.JPG", "notes.txt", "jpg", "a.jpg.part")
    (tmp_path / "folder.png").mkdir()
    left_out = []
    assert below(tmp_path, left_out=left_out) == [*names, "99.JPG"]
    assert left_out == []


def test_natural_order_through_folders(tmp_path):
    touch(tmp_path, "b10.jpg", "b2.jpg", "B3.jpg", "a/2.jpg", "a/10.jpg", "a10/1.jpg", "a9/1.jpg", "a.jpg", "7.jpg")
    expected = ["7.jpg", "a/2.jpg", "a/10.jpg", "a9/1.jpg", "a10/1.jpg", "a.jpg", "b2.jpg", "B3.jpg", "b10.jpg"]
    assert sorted(below(tmp_path)) == sorted(expected)
    found = below(tmp_path)
    assert found.index("a/2.jpg") < found.index("a/10.jpg")
    assert found.index("a9/1.jpg") < found.index("a10/1.jpg")
    assert found[-3:] == ["b2.jpg", "B3.jpg", "b10.jpg"]
    assert found[0] == "7.jpg"


def test_a_number_of_thousands_of_digits_in_an_address():
    names = ["2.jpg", "10.jpg", f"{'9' * 5000}.jpg"]
    assert [path.name for path in sorted(map(PurePosixPath, reversed(names)), key=walk.natural)] == names


def test_the_order_does_not_depend_on_the_disk(tmp_path, monkeypatch):
    touch(tmp_path, *(f"{folder}/{index}.jpg" for folder in "cab" for index in (11, 2, 1)))
    expected, plain = below(tmp_path), os.scandir

    class Reversed:
        def __init__(self, path):
            with plain(path) as entries:
                self.entries = iter(sorted(entries, key=lambda entry: entry.name, reverse=True))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def close(self):
            return None

        def __iter__(self):
            return self

        def __next__(self):
            return next(self.entries)

    monkeypatch.setattr(os, "scandir", Reversed)
    assert below(tmp_path) == expected


def test_hidden_files_and_folders_are_skipped(tmp_path):
    touch(tmp_path, "a.jpg", ".b.jpg", ".thumbs/c.jpg", "d/.e/f.jpg")
    assert below(tmp_path) == ["a.jpg"]


@pytest.mark.parametrize(
    ("ignore", "expected"),
    [
        (["masks"], ["a.jpg", "raw/c.jpg", "raw/deep/d.png"]),
        (["masks/"], ["a.jpg", "raw/c.jpg", "raw/deep/d.png"]),
        (["*.png"], ["a.jpg", "raw/c.jpg"]),
        (["raw/*"], ["a.jpg", "masks/b.png"]),
        (["raw/c.jpg", "?.png"], ["a.jpg"]),
        (["*.JPG"], ["a.jpg", "masks/b.png", "raw/c.jpg", "raw/deep/d.png"]),
    ],
)
def test_ignore_patterns_match_paths_and_names(tmp_path, ignore, expected):
    touch(tmp_path, "a.jpg", "masks/b.png", "raw/c.jpg", "raw/deep/d.png")
    assert sorted(below(tmp_path, ignore=ignore)) == expected


def test_files_that_look_like_images_are_counted_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(walk, "SUFFIXES", (".jpg",))  # as if nothing read HEIC
    touch(tmp_path, "a.jpg", "b10.CR2", "sub/b2.svg", "c.heic", "masks/d.psd", ".e.psd", "notes.txt")
    left_out = []
    assert below(tmp_path, ignore=["masks"], left_out=left_out) == ["a.jpg"]
    heic, others = left_out
    assert heic == (
        f"{tmp_path}: left out, though named like images: 1 in HEIC, which needs `pip install 'clickgrain[heif]'`:"
        " c.heic"
    )
    assert "2 in formats that are not read (convert them to JPEG, PNG or TIFF): b10.CR2, sub/b2.svg" in others
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"no images found; .*c\.heic; .*b10\.CR2, sub/b2\.svg"):
        find_images(tmp_path, ignore=["masks"])


def test_very_many_of_them_are_counted(tmp_path):
    touch(tmp_path, "a.jpg", *(f"{index}.nef" for index in range(25)))
    left_out = []
    below(tmp_path, left_out=left_out)
    assert "25 in formats" in left_out[0]
    assert left_out[0].endswith("18.nef, 19.nef and 5 more")


def test_heic_is_taken_where_it_can_be_read(tmp_path):
    pytest.importorskip("pillow_heif")
    touch(tmp_path, "a.HEIC", "b.heif", "c.hif")
    assert below(tmp_path) == ["a.HEIC", "b.heif", "c.hif"]


def test_previews_of_runs_are_no_photos(tmp_path):
    touch(tmp_path, "a.jpg", "model/previews/step-000100.png", "previews/step-1234567.png", "x/previews/b.png")
    touch(tmp_path, "step-000100.png", "model/step-000100.png")
    assert below(tmp_path) == ["a.jpg", "model/step-000100.png", "step-000100.png", "x/previews/b.png"]


def test_links_in_a_loop_end(tmp_path):
    touch(tmp_path, "a/one.jpg", "b/two.jpg")
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "c").symlink_to(tmp_path / "b", target_is_directory=True)
    assert below(tmp_path) == ["a/one.jpg", "b/two.jpg"]


def test_one_file_is_a_list_of_itself(tmp_path):
    touch(tmp_path, "picture")
    assert find_images(tmp_path / "picture") == [tmp_path / "picture"]


def test_nothing_to_find(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="none: no such folder or file; check the path"):
        find_images(tmp_path / "none")
    touch(tmp_path, "a.txt", "masks/b.png")
    with pytest.raises(
        DataError, match=r"no images found; looked for \.jpg, .*\.gif.* in it and below, leaving out masks"
    ):
        find_images(tmp_path, ignore=["masks"])
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(DataError, match="permission denied"):
        find_images(tmp_path)


def photos(root, count):
    for index in range(count):
        Image.fromarray(np.full((8, 9, 3), index, np.uint8)).save(root / f"{index}.png")
    return find_images(root)


def test_images_come_in_order_and_bad_ones_are_reported(tmp_path):
    paths, report = photos(tmp_path, 9), ReadReport()
    paths[3].write_bytes(b"")
    paths[7].write_bytes(b"nonsense")
    read = list(read_images([*paths, tmp_path / "none.png"], workers=3, report=report))
    assert [path for path, _ in read] == [path for index, path in enumerate(paths) if index not in (3, 7)]
    for path, image in read:
        np.testing.assert_array_equal(image, read_image(path))
    assert report.read == 7
    assert [Path(path).name for path, _ in report.bad] == ["3.png", "7.png", "none.png"]
    assert "3.png: the file is empty" in report.bad[0][1]


def test_notes_are_kept(tmp_path):
    frames = [Image.new("RGB", (9, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    report = ReadReport()
    assert len(list(read_images(find_images(tmp_path), report=report))) == 1
    (note,) = report.notes
    assert "first frame" in note


def test_the_pixel_limit_is_handed_on(tmp_path):
    report = ReadReport()
    assert list(read_images(photos(tmp_path, 1), max_pixels=71, report=report)) == []
    assert "over the limit" in report.bad[0][1]


def test_reading_ahead_is_bounded_and_stops_when_closed(tmp_path, monkeypatch):
    started, paths = [], photos(tmp_path, 20)

    def counted(path, **options):
        started.append(path)
        return read_image(path, **options)

    monkeypatch.setattr(walk, "read_image", counted)
    images = read_images(paths, workers=2)
    next(images)
    assert len(started) <= 4
    images.close()
    assert len(started) <= 4
    assert not any(thread.name.startswith("read_images") for thread in threading.enumerate())
