import numpy as np
import pytest
from scipy import ndimage

from benchmarks.cell_styles import STYLES
from benchmarks.cells import SIDES, contact_sheet, draw


@pytest.mark.parametrize("style", STYLES)
def test_a_seed_draws_the_same_picture_again_and_another_seed_another(style):
    one, again, other = (draw([seed, 0], side=96, style=style) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.cells, again.cells)
    np.testing.assert_array_equal(one.nuclei, again.nuclei)
    assert (one.image != other.image).any()
    assert (one.cells != other.cells).any()


@pytest.mark.parametrize("seed", range(4))
def test_what_a_picture_holds(seed):
    one = draw(seed)
    height, width = one.cells.shape
    assert SIDES[0] <= min(height, width) <= max(height, width) <= SIDES[1]
    assert one.image.shape == (height, width, 3)
    assert one.image.dtype == np.uint8
    assert one.style in STYLES
    numbers = np.unique(one.cells)
    np.testing.assert_array_equal(numbers, np.arange(len(numbers)))
    assert 0.1 < (one.cells > 0).mean() < 0.7


@pytest.mark.parametrize("seed", range(4))
def test_nuclei_lie_inside_their_own_cells(seed):
    one = draw([seed, 1], side=128)
    inside = one.nuclei > 0
    assert inside.any()
    np.testing.assert_array_equal(one.nuclei[inside], one.cells[inside])
    assert inside.sum() < 0.5 * (one.cells > 0).sum()


def test_masks_lie_where_the_membranes_are_painted():
    """Phase: dark inside the rim, bright outside of it. Masks moved by a few pixels fit worse."""
    one = draw(5, side=384, style="phase")
    grey = one.image.mean(-1)
    here = rim_contrast(grey, one.cells > 0)
    assert here > 5
    for shift, axis in ((5, 0), (-5, 0), (5, 1), (-5, 1)):
        assert rim_contrast(grey, np.roll(one.cells > 0, shift, axis)) < 0.7 * here


def rim_contrast(grey, mask):
    outside, inside = ndimage.distance_transform_edt(~mask), ndimage.distance_transform_edt(mask)
    return grey[(outside > 0) & (outside <= 3)].mean() - grey[(inside > 0) & (inside <= 3)].mean()


def test_mean_colour_does_not_tell_cells_from_ground():
    for style in STYLES:
        for seed in range(3):
            one = draw([seed, 2], side=160, style=style)
            ground, body = one.cells == 0, (one.cells > 0) & (one.nuclei == 0)
            apart = one.image[body].mean(0) - one.image[ground].mean(0)
            assert (np.abs(apart) < 1.5 * one.image[ground].std(0)).all(), (style, seed, apart)


def test_a_contact_sheet_shows_every_style_twice():
    assert contact_sheet([0, 1], side=64).shape == (2 * len(STYLES) * 64, 2 * 64, 3)


def test_fields_make_the_picture_larger_and_leave_the_cells_as_large():
    areas = {}
    for fields in (1, 3):
        found = [draw([seed], side=128, style="phase", fields=fields) for seed in range(4)]
        assert {one.image.shape for one in found} == {(128 * fields, 128 * fields, 3)}
        areas[fields] = [np.bincount(one.cells.ravel())[1:] for one in found]
    medians = [np.median(np.concatenate(areas[fields])) for fields in (1, 3)]
    assert 0.5 < medians[1] / medians[0] < 2
    assert sum(map(len, areas[3])) > 4 * sum(map(len, areas[1]))
