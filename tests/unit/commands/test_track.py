"""`clickgrain track`: masks and a table for a folder of frames, and what goes wrong with them."""

import csv

import numpy as np
import pytest
import tifffile
from PIL import Image

from clickgrain import cli
from clickgrain.images import save_mask
from tests.unit.test_tracking import frames, iou, texture


@pytest.fixture
def clip(tmp_path):
    """Frames 0 to 11 (frame 10 after frame 9), their masks, and the first mask as a file."""
    truth = []
    (tmp_path / "clip").mkdir()
    for i, (image, mask) in enumerate(frames(12)):
        Image.fromarray(image).save(tmp_path / "clip" / f"frame{i}.png")
        truth.append(mask)
    save_mask(tmp_path / "first.png", truth[0])
    return tmp_path, truth


def run(folder, *words):
    return cli.main(["track", str(folder / "clip"), "--out", str(folder / "out"), *map(str, words)])


def table(folder):
    with (folder / "out" / "track.csv").open() as file:
        return list(csv.DictReader(file))


def read(path):
    return np.asarray(Image.open(path)) > 0


def test_every_frame_gets_a_mask_and_a_line(clip, capsys):
    folder, truth = clip
    assert run(folder, "--mask", folder / "first.png", "--overlay") == 0
    assert capsys.readouterr().out == f"{folder / 'out'}: 12 of 12 frames\n"
    for i, (line, mask) in enumerate(zip(table(folder), truth, strict=True)):
        found = read(folder / "out" / f"frame{i}.png")
        assert line["frame"] == f"frame{i}.png"
        assert int(line["pixels"]) == found.sum()
        assert iou(found, mask) > 0.8
        assert (folder / "out" / "overlay" / f"frame{i}.jpg").is_file()
    rows, columns = np.nonzero(read(folder / "out" / "frame11.png"))
    box = [int(line[side]) for side in ("left", "top", "right", "bottom")]
    assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_it_stops_where_the_object_is_lost_and_goes_on_from_a_click_there(clip, capsys):
    folder, _ = clip
    Image.fromarray(texture(7)).save(folder / "clip" / "frame6.png")
    assert run(folder, "--mask", folder / "first.png") == 0
    told = capsys.readouterr()
    assert told.out.endswith("6 of 12 frames, lost at frame6.png\n")
    assert "--start frame6.png" in told.err
    assert not (folder / "out" / "frame6.png").exists()
    assert run(folder, "--start", "frame7.png", "--click", "65,60") == 0
    assert [line["frame"] for line in table(folder)] == [f"frame{i}.png" for i in range(12) if i != 6]


def test_backwards_goes_to_earlier_frames(clip):
    folder, truth = clip
    save_mask(folder / "last.png", truth[11])
    assert run(folder, "--mask", folder / "last.png", "--start", "frame11.png", "--backwards") == 0
    assert iou(read(folder / "out" / "frame0.png"), truth[0]) > 0.8
    assert [line["frame"] for line in table(folder)] == [f"frame{i}.png" for i in range(12)]


def test_pages_of_a_stack_are_frames(clip, capsys):
    folder, truth = clip
    pages = np.stack([np.asarray(Image.open(folder / "clip" / f"frame{i}.png")) for i in range(6)])
    tifffile.imwrite(folder / "stack.tif", pages, photometric="rgb")
    words = ["track", str(folder / "stack.tif"), "--out", str(folder / "out"), "--mask", str(folder / "first.png")]
    assert cli.main(words) == 0
    assert [line["frame"] for line in table(folder)] == [f"stack-{i:04}" for i in range(6)]
    assert iou(read(folder / "out" / "stack-0005.png"), truth[5]) > 0.8
    assert cli.main([*words[:4], "--start", "stack-0003", "--click", "50,60"]) == 0
    assert len(table(folder)) == 6


def test_frames_that_are_damaged_or_of_another_size_are_named_and_left_out(clip, capsys):
    folder, truth = clip
    (folder / "clip" / "frame3.png").write_bytes(b"no image")
    Image.fromarray(texture(0)[:50]).save(folder / "clip" / "frame5.png")
    assert run(folder, "--mask", folder / "first.png") == 0
    told = capsys.readouterr()
    assert "10 of 12 frames" in told.out
    assert "frame3.png" in told.err
    assert "frame5.png" in told.err
    assert iou(read(folder / "out" / "frame11.png"), truth[11]) > 0.8


def test_an_interruption_keeps_the_frames_so_far(clip, monkeypatch):
    from clickgrain import images

    folder, _ = clip
    save = images.save_mask

    def interrupted(path, mask):
        if path.name == "frame4.png":
            raise KeyboardInterrupt
        save(path, mask)

    monkeypatch.setattr(images, "save_mask", interrupted)
    assert run(folder, "--mask", folder / "first.png") == 130
    assert [line["frame"] for line in table(folder)] == [f"frame{i}.png" for i in range(4)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "point at the object"),
        (["--click", "3,3", "--mask", "first.png"], "point at the object"),
        (["--click", "900,3"], "900"),
        (["--click", "3,3", "--score", "2"], "outside 0..1"),
        (["--click", "3,3", "--start", "frame99.png"], "no such frame"),
        (["--mask", "clip/frame0.png", "--start", "frame1.png", "--out", "clip"], "another one"),
    ],
)
def test_words_that_cannot_be_meant_are_refused(clip, words, told, capsys, monkeypatch):
    folder, _ = clip
    monkeypatch.chdir(folder)
    assert cli.main(["track", "clip", *(words if "--out" in words else [*words, "--out", "out"])]) == 2
    assert told in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_a_mask_of_another_size_is_refused(clip, capsys):
    folder, truth = clip
    save_mask(folder / "small.png", truth[0][:50])
    assert run(folder, "--mask", folder / "small.png") == 2
    assert "160 x 50" in capsys.readouterr().err
