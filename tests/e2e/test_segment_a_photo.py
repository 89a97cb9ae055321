"""I have one photo and want one thing in it cut out, from the command line."""

import re

import cv2
import numpy as np
import pytest


@pytest.fixture
def photo(tmp_path, disk, save):
    return save(tmp_path / "disk.png", disk()[0])


def iou(path, mask):
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found.dtype == np.uint8
    assert found.shape == mask.shape
    assert set(np.unique(found)) <= {0, 255}
    return ((found > 0) & mask).sum() / ((found > 0) | mask).sum()


PROMPTS = {
    "two clicks": ["--click", "40,40", "--click", "60,56,+", "--level", "0.9"],
    "a click and one on the background": ["--click", "50,48", "--click", "110,20,-", "--level", "1"],
    "a stroke": ["--scribble", "26,48 50,26 74,48 50,70"],
    "a box": ["--box", "22,20,79,77"],
}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_i_point_at_it_and_get_its_mask(clickgrain, disk, photo, tmp_path, prompt):
    out = tmp_path / "new" / "mask.png"
    status, printed, _ = clickgrain("segment", photo, "--model", "tree", *prompt, "--out", out)
    assert status == 0
    assert iou(out, disk()[1]) > 0.9
    area = float(re.fullmatch(rf"{re.escape(str(out))} area=(\S+) score=\S+ level=\S+\n", printed)[1])
    assert area == pytest.approx((cv2.imread(str(out), 0) > 0).mean(), abs=1e-4)


def test_a_coarser_level_gives_more(clickgrain, photo, tmp_path):
    areas = []
    for level in ("0.2", "0.95"):
        out = tmp_path / f"mask{level}.png"
        clickgrain("segment", photo, "--model", "tree", "--click", "50,48", "--level", level, "--out", out)
        areas.append((cv2.imread(str(out), 0) > 0).sum())
    assert 0 < areas[0] < areas[1]


def test_i_see_the_mask_on_the_photo(clickgrain, disk, photo, tmp_path):
    overlay = tmp_path / "overlay.png"
    arguments = [*PROMPTS["two clicks"], "--out", tmp_path / "mask.png", "--overlay", overlay]
    assert clickgrain("segment", photo, "--model", "tree", *arguments)[0] == 0
    changed = (cv2.imread(str(overlay)) != cv2.imread(str(photo))).any(2)
    assert changed[disk()[1]].mean() > 0.9
    assert changed[:, 110:].mean() < 0.02


def test_without_a_model_i_get_tree_mode_and_am_told(clickgrain, photo, tmp_path, monkeypatch):
    from clickgrain import weights
    from clickgrain.errors import WeightsError

    def none_ship(source, **_):
        raise WeightsError(f"no {source}")

    monkeypatch.setattr(weights, "find_model", none_ship)
    status, _, said = clickgrain("segment", photo, "--click", "50,48", "--out", tmp_path / "mask.png")
    assert status == 0
    assert 'answering with "tree"' in said
    assert (tmp_path / "mask.png").is_file()


WRONG = {
    "a click outside": (["--click", "500,48"], "outside the image of 128 x 96"),
    "no prompt": ([], "nothing points at the object"),
    "no click": (["--click", "middle"], "--click 'middle' is not X,Y"),
    "a level beyond 1": (["--click", "5,5", "--level", "3"], "--level 3.0 is outside 0..1"),
    "an unknown model": (["--click", "5,5", "--model", "no-such-model"], "no-such-model"),
    "an unknown overlay": (["--click", "5,5", "--overlay", "o.gif"], "--overlay o.gif has an unknown suffix"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_explained_and_writes_nothing(clickgrain, photo, tmp_path, arguments, message):
    arguments = [*arguments, "--out", tmp_path / "mask.png"]
    if "--model" not in arguments:
        arguments += ["--model", "tree"]
    status, printed, said = clickgrain("segment", photo, *arguments)
    assert (status, printed) == (1 if "no-such-model" in arguments else 2, "")
    assert message in said
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["disk.png"]


def test_my_photo_is_never_written_over(clickgrain, photo):
    before = photo.read_bytes()
    status, _, said = clickgrain("segment", photo, "--click", "5,5", "--out", photo)
    assert status == 2
    assert "share a file" in said
    assert photo.read_bytes() == before


def test_a_mask_is_not_saved_with_loss(clickgrain, photo, tmp_path):
    status, _, said = clickgrain("segment", photo, "--click", "5,5", "--out", tmp_path / "mask.jpg")
    assert status == 2
    assert "mask.jpg is no .png" in said


def test_a_broken_photo_is_named(clickgrain, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 no more")
    status, _, said = clickgrain("segment", broken, "--click", "5,5", "--out", tmp_path / "mask.png")
    assert status == 1
    assert "broken.jpg" in said


def test_only_background_clicks_leave_an_empty_mask_and_a_hint(clickgrain, photo, tmp_path):
    out = tmp_path / "mask.png"
    status, printed, said = clickgrain("segment", photo, "--model", "tree", "--click", "5,5,-", "--out", out)
    assert status == 0
    assert "the mask is empty" in said
    assert " area=0.0000 " in printed
