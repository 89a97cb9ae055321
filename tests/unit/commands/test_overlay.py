import numpy as np
import pytest

from clickgrain.commands.overlay import TINT, draw_overlay, save_overlay
from clickgrain.errors import ImageError
from clickgrain.images import read_image
from clickgrain.types import Prompt, Scribble

GREY = np.full((60, 80, 3), 100, np.uint8)


@pytest.fixture
def mask():
    mask = np.zeros((60, 80), bool)
    mask[20:50, 30:70] = True
    return mask


def test_the_object_is_tinted_and_the_rest_untouched(mask):
    prompt = Prompt.of([[40, 40]], [1], size=(60, 80))
    before = GREY.copy()
    drawn = draw_overlay(GREY, mask, prompt)
    assert (drawn[~mask] == 100).all()
    assert (drawn[30, 60] == (0.55 * 100 + 0.45 * np.array(TINT)).astype(np.uint8)).all()
    assert (drawn[20, 30:70] == TINT).all()
    assert (before == GREY).all()


def test_each_click_is_seen_in_the_colour_of_its_label(mask):
    drawn = draw_overlay(GREY, mask, Prompt.of([[40, 40], [10, 10]], [1, 0], size=(60, 80)))
    green, red = drawn[40, 40].astype(int), drawn[10, 10].astype(int)
    assert green[1] > green[0]
    assert red[0] > red[1]


def test_boxes_and_strokes_are_seen(mask):
    stroke = Scribble(np.array([[5, 5], [15, 5]], np.float32), 0)
    prompt = Prompt.of(None, None, size=(60, 80), box=[25, 15, 75, 55], scribbles=[stroke])
    drawn = draw_overlay(GREY, mask, prompt)
    assert (drawn[15, 25:75] == 255).all()
    assert (drawn[54, 25:75] == 255).all()
    assert (drawn[5, 5:16, 0] > drawn[5, 5:16, 1]).all()


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg", ".webp"])
def test_a_picture_is_read_back_with_its_colours(tmp_path, suffix):
    image = np.zeros((16, 16, 3), np.uint8)
    image[..., 0] = 200
    save_overlay(tmp_path / f"red{suffix}", image)
    assert np.abs(read_image(tmp_path / f"red{suffix}").astype(int) - image).max() < 12


def test_a_picture_that_cannot_be_written_names_the_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match=r"file/red.png"):
        save_overlay(tmp_path / "file" / "red.png", GREY)
