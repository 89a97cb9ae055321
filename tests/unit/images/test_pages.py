"""Pages of a stack become images, and look as they did as pages."""

import numpy as np
import pytest
import tifffile

from clickgrain.errors import ImageError
from clickgrain.images import find_images, pages, read_image
from clickgrain.images.pages import split_pages
from clickgrain.progress import Quiet


@pytest.fixture
def stack(tmp_path):
    """A function that writes pages (n x H x W, or n x H x W x 3) to a file and returns its path."""

    def write(pages, name="stack.tif", **how):
        with tifffile.TiffWriter(tmp_path / name) as file:
            for page in pages:
                file.write(page, contiguous=False, **how)
        return tmp_path / name

    return write


def random(shape, dtype, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape).astype(dtype)


def test_deep_pages_keep_their_values(stack):
    values = random((12, 20, 30), np.uint16)
    path = stack(values)
    folder = split_pages(path, Quiet())
    files = find_images(folder)
    assert [file.name for file in files] == [f"stack-{i:04}.tif" for i in range(12)]
    for i, file in enumerate(files):
        assert np.array_equal(tifffile.imread(file), values[i])
        assert np.array_equal(read_image(file, window=(9, 999)), read_image(path, page=i, window=(9, 999)))


@pytest.mark.parametrize(
    ("values", "how"),
    [
        (random((3, 20, 30), np.uint8), {"photometric": "minisblack"}),
        (random((3, 20, 30, 3), np.uint8), {"photometric": "rgb"}),
        (random((3, 20, 30, 3), np.uint16), {"photometric": "rgb"}),
        (random((3, 20, 30), np.uint16), {"photometric": "miniswhite"}),
        (random((3, 20, 30), np.uint16), {"extratags": [(274, "H", 1, 6)]}),
        (random((3, 20, 30), np.uint16), {"extratags": [(42113, "s", 2, "7")]}),
        (random((3, 20, 30), np.uint16).astype(np.float32), {}),
    ],
)
def test_every_page_looks_as_before(stack, values, how):
    path = stack(values, **how)
    files = find_images(split_pages(path, Quiet()))
    assert len(files) == 3
    for i, file in enumerate(files):
        assert np.array_equal(read_image(file), read_image(path, page=i))


def test_a_stopped_run_goes_on_and_nothing_is_written_twice(stack):
    path = stack(random((4, 8, 9), np.uint16))
    folder = split_pages(path, Quiet())
    missing, kept = folder / "stack-0001.tif", folder / "stack-0002.tif"
    missing.unlink()
    before = kept.stat().st_mtime_ns
    split_pages(path, Quiet())
    assert missing.exists()
    assert kept.stat().st_mtime_ns == before


def test_a_damaged_page_is_noted_and_stops_no_other(stack, monkeypatch):
    class Notes(Quiet):
        def __init__(self):
            self.lines = []

        def note(self, text):
            self.lines.append(text)

    real, bar, path = pages.read_image, Notes(), stack(random((3, 8, 9), np.uint16))

    def damaged(file, page):
        if page == 1:
            raise ImageError(f"{file}: damaged")
        return real(file, page=page)

    monkeypatch.setattr(pages, "read_image", damaged)
    assert [file.name for file in find_images(split_pages(path, bar))] == ["stack-0000.tif", "stack-0002.tif"]
    assert bar.lines == [f"page 1 is left out: {path}: damaged"]


def test_pages_of_another_file_are_not_mixed_up(stack):
    path = stack(random((2, 8, 9), np.uint16))
    split_pages(path, Quiet())
    stack(random((2, 8, 9), np.uint16, seed=1))
    with pytest.raises(ImageError, match=r"stack-pages: holds the pages of another stack\.tif; rename"):
        split_pages(path, Quiet())


def test_a_folder_that_cannot_be_made(stack, tmp_path):
    path = stack(random((2, 8, 9), np.uint16))
    (tmp_path / "stack-pages").write_text("mine")
    with pytest.raises(ImageError, match=r"stack-pages: .*; copy stack\.tif to where there is room"):
        split_pages(path, Quiet())


def test_the_page_opens_the_folder_of_pages(stack, monkeypatch, capsys):
    from clickgrain.annotate import server
    from clickgrain.annotate.config import AnnotateArgs
    from clickgrain.commands.annotate import annotate

    opened = []
    monkeypatch.setattr(server, "serve", lambda args, tell: opened.append(args.photos))
    several, one = stack(random((2, 8, 9), np.uint16)), stack(random((1, 8, 9), np.uint16), "one.tif")
    for path in (several, one, one.parent):
        annotate(AnnotateArgs(path))
    assert opened == [several.parent / "stack-pages", one, one.parent]
    assert "stack.tif has 2 pages" in capsys.readouterr().err
