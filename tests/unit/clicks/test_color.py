import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import convolve1d
from skimage.color import rgb2lab

from clickgrain.clicks import color
from clickgrain.clicks.color import BINS, HIGH, LOW, PREVIOUS_DOUBT, SEED_POWER, lab_bins, lab_of, posterior


def random_images(seed, size=(2, 3, 16, 20)):
    return torch.from_numpy(np.random.default_rng(seed).uniform(0, 255, size).astype(np.float32))


def oracle_posterior(bins, near, far, previous, box):
    """One prompt, plain numpy: h x w arrays."""
    given = previous.max() > 0.5
    clicked = near.max() > 0
    outside = box < 0
    near = near if clicked else (box > 0).astype(float)
    trusted = previous if given else np.zeros_like(previous)
    weights = [
        (near**SEED_POWER + trusted * (near if clicked else 1)) * (1 - far) * ~outside,
        (1 - near) ** SEED_POWER * (1 - PREVIOUS_DOUBT * trusted) + far**SEED_POWER + outside,
    ]
    shares = []
    for weight in weights:
        histogram = np.bincount(bins.ravel(), weight.ravel(), np.prod(BINS)).reshape(BINS)
        for axis in range(3):
            histogram = convolve1d(histogram, [0.25, 0.5, 0.25], axis=axis, mode="constant")
        shares.append(histogram.ravel() / max(histogram.sum(), 1e-6) + 1e-6)
    return (shares[0] / (shares[0] + shares[1]))[bins]


def maps(seed, shape=(1, 12, 14)):
    rng = np.random.default_rng(seed)
    near, far, previous = rng.random((3, *shape))
    box = np.where(rng.random(shape) < 0.7, 1.0, -1.0)
    return [torch.from_numpy(m.astype(np.float32)) for m in (near, far, previous, box)]


class TestLab:
    @pytest.mark.parametrize("seed", range(3))
    def test_equals_scikit_image(self, seed):
        images = random_images(seed)
        wanted = rgb2lab(images.permute(0, 2, 3, 1).double().numpy() / 255)
        assert lab_of(images).permute(0, 2, 3, 1).numpy() == pytest.approx(wanted, abs=0.02)

    def test_of_dark_and_pure_colours(self):
        colors = np.array(
            [[0, 0, 0], [1, 2, 3], [9, 10, 11], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]
        )
        found = lab_of(torch.tensor(colors.T[None, :, :, None], dtype=torch.float32))[0, :, :, 0].T
        assert found.numpy() == pytest.approx(rgb2lab(colors / 255), abs=0.02)

    def test_clamps_what_augmentation_pushed_out_of_range(self):
        images = torch.tensor([-40.0, 300.0, 128.0]).view(1, 3, 1, 1)
        assert torch.equal(lab_of(images), lab_of(images.clamp(0, 255)))

    def test_takes_bytes(self):
        images = random_images(0).floor()
        assert torch.equal(lab_of(images.to(torch.uint8)), lab_of(images))

    def test_is_the_same_under_autocast(self):
        images = random_images(4)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(lab_of(images), lab_of(images.float()))
            found = lab_of(images)
        assert found.dtype == torch.float32
        assert torch.equal(found, lab_of(images))


class TestBins:
    @settings(max_examples=60, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([5.0, 40.0, 300.0]))
    def test_equals_numpy(self, seed, spread):
        lab = np.random.default_rng(seed).normal(0, spread, (2, 3, 5, 6)).astype(np.float32)
        where = []
        for channel in range(3):
            edges = np.linspace(LOW[channel], HIGH[channel], BINS[channel] + 1)
            where.append(np.clip(np.digitize(lab[:, channel], edges) - 1, 0, BINS[channel] - 1))
        assert np.array_equal(lab_bins(torch.from_numpy(lab)), np.ravel_multi_index(where, BINS))

    def test_nearby_colours_share_a_bin_and_distant_ones_do_not(self):
        lab = torch.tensor([[51.0, 1, 1], [53, 3, 3], [57, 1, 1], [51, 7, 1], [51, 1, 7]]).T[None, :, :, None]
        assert len(lab_bins(lab)[0, :2].unique()) == 1
        assert len(lab_bins(lab).unique()) == 4


class TestPosterior:
    @settings(max_examples=40, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([3.0, 15.0, 60.0]), box=st.booleans())
    def test_equals_numpy(self, seed, spread, box):
        lab = np.random.default_rng(seed).normal(0, spread, (1, 3, 12, 14)).astype(np.float32)
        bins = lab_bins(torch.from_numpy(lab))
        near, far, previous, inside = maps(seed)
        inside = inside if box else torch.zeros_like(inside)
        found = posterior(bins, near, far, previous, inside)
        wanted = oracle_posterior(*(m[0].double().numpy() if m.is_floating_point() else m[0].numpy()
                                    for m in (bins, near, far, previous, inside)))  # fmt: skip
        assert found.dtype == torch.float32
        assert found[0].numpy() == pytest.approx(wanted, abs=1e-4)

    def test_one_click_separates_two_flat_colours(self):
        bins = torch.zeros(1, 8, 8, dtype=torch.long)
        bins[:, :, 4:] = 4000
        near = torch.zeros(1, 8, 8)
        near[:, 2:4, 1:3] = 1.0
        none = torch.zeros_like(near)
        found = posterior(bins, near, none, none, none)
        assert found[0, :, :4].min() > 0.5 > 0.001 > found[0, :, 4:].max()

    def test_a_negative_click_tells_its_colour_from_the_objects(self):
        bins = torch.zeros(1, 8, 9, dtype=torch.long)
        bins[:, :, 3:6], bins[:, :, 6:] = 3000, 6000
        near, far = torch.full((1, 8, 9), 0.4), torch.zeros(1, 8, 9)
        near[:, :, :3] = 1
        none = torch.zeros_like(near)
        before = posterior(bins, near, far, none, none)[0, 0]
        far[:, :, 3:6] = 1
        after = posterior(bins, near, far, none, none)[0, 0]
        assert after[4] < 0.5 * before[4]
        assert after[7] > before[7]  # the other colour is now less typical of the background
        assert after[0] > 0.9

    def test_equal_evidence_is_a_half_for_every_colour(self):
        bins = lab_bins(lab_of(random_images(0, (1, 3, 9, 9))))
        half, none = torch.full((1, 9, 9), 0.5), torch.zeros(1, 9, 9)
        assert posterior(bins, half, none, none, none).numpy() == pytest.approx(0.5, abs=1e-5)

    @pytest.mark.parametrize("value", [0.25, 0.75])
    def test_rarer_colours_lean_more_to_a_half(self, value):
        """One pixel of another colour, among 100 and among 100,000."""
        away = []
        for side in (10, 320):
            bins, near = torch.zeros(1, side, side, dtype=torch.long), torch.full((1, side, side), 0.5)
            bins[0, 0, 0], near[0, 0, 0] = 4000, value
            none = torch.zeros_like(near)
            away.append(float(posterior(bins, near, none, none, none)[0, 0, 0]) - 0.5)
        assert abs(away[1]) < 0.9 * abs(away[0])
        assert min(away) * max(away) > 0
        assert (away[0] > 0) == (value > 0.5)

    def test_a_box_without_clicks_models_its_inside_against_its_outside(self):
        bins = torch.zeros(1, 10, 10, dtype=torch.long)
        bins[:, 3:7, 3:7] = 4000
        none, box = torch.zeros(1, 10, 10), -torch.ones(1, 10, 10)
        box[:, 2:8, 2:8] = 1
        found = posterior(bins, none, none, none, box)[0]
        assert found[3:7, 3:7].min() > 0.9
        assert found[0].max() < 0.5

    def test_the_previous_mask_speaks_where_there_is_no_positive_click(self):
        bins = torch.zeros(1, 10, 10, dtype=torch.long)
        bins[:, :5] = 4000
        none, previous = torch.zeros(1, 10, 10), torch.zeros(1, 10, 10)
        previous[:, :5] = 0.9
        found = posterior(bins, none, none, previous, none)[0]
        assert found[0].min() > 0.6  # only half trusted
        assert found[9].max() < 0.1

    def test_an_empty_previous_mask_says_nothing(self):
        bins = lab_bins(lab_of(random_images(0, (1, 3, 12, 14))))
        near, far, previous, _ = maps(0)
        none = torch.zeros_like(near)
        low = posterior(bins, near, far, 0.5 * previous, none)  # nowhere above one half
        assert torch.equal(low, posterior(bins, near, far, none, none))

    def test_prompts_do_not_mix(self):
        bins = lab_bins(lab_of(random_images(0, (3, 3, 12, 14))))
        several = maps(0, (3, 12, 14))
        several[0][1], several[2][2] = 0, 0
        together = posterior(bins, *several)
        for i in range(3):
            alone = posterior(bins[i : i + 1], *(m[i : i + 1] for m in several))
            assert together[i].numpy() == pytest.approx(alone[0].numpy(), abs=1e-6)

    def test_smoothing_equals_scipy_and_shrinks_only_at_the_border(self):
        histogram = torch.from_numpy(np.random.default_rng(0).random((2, 2, int(np.prod(BINS)))).astype(np.float32))
        wanted = histogram.double().numpy().reshape(4, *BINS)
        for axis in (1, 2, 3):
            wanted = convolve1d(wanted, [0.25, 0.5, 0.25], axis=axis, mode="constant")
        found = color._smoothed(histogram)
        assert found.shape == histogram.shape
        assert found.numpy().reshape(4, *BINS) == pytest.approx(wanted, abs=1e-6)
