import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2yuv

from clickgrain.errors import ConfigError
from clickgrain.models.base import Decoded
from clickgrain.models.config import LossWeights
from clickgrain.models.losses import (
    RGB_TO_YUV,
    bce,
    dice,
    iou_error,
    kept,
    rgb_to_yuv,
    smoothness,
    smoothness_published,
    total_loss,
)

B, H, W = 2, 5, 6
MASKED = [bce, dice]
NEIGHBOURS = [(dy, dx) for dy in (-2, 0, 2) for dx in (-2, 0, 2) if (dy, dx) != (0, 0)]


def sample(seed=0, scale=2.0, dtype=torch.float64, shape=(B, 1, H, W)):
    """Logits, soft targets, weights (a third of them 0) and images."""
    g = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(shape, generator=g, dtype=torch.float64)
    target = torch.rand(shape, generator=g, dtype=torch.float64)
    weight = torch.rand(shape, generator=g, dtype=torch.float64) * (torch.rand(shape, generator=g) > 0.33)
    images = 60 * torch.rand((shape[0], 3, *shape[2:]), generator=g, dtype=torch.float64) + 90
    return tuple(x.to(dtype) for x in (logits, target, weight, images))


def numpy_terms(logits, target):
    p = 1 / (1 + np.exp(-logits))
    return p, -(target * np.log(p) + (1 - target) * np.log(1 - p))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_bce_is_the_weighted_mean_of_each_sample(seed):
    logits, target, weight, _ = (x.numpy() for x in sample(seed))
    _, entropy = numpy_terms(logits, target)
    wanted = np.mean([(w * e).sum() / w.sum() for w, e in zip(weight, entropy)])
    assert bce(*map(torch.tensor, (logits, target, weight))).mean().item() == pytest.approx(wanted)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_dice_follows_the_formula(seed):
    logits, target, weight, _ = (x.numpy() for x in sample(seed))
    p, _ = numpy_terms(logits, target)
    both = (weight * p * target).sum((1, 2, 3))
    each = (weight * (p**2 + target**2)).sum((1, 2, 3))
    wanted = np.mean(1 - (2 * both + 1) / (each + 1))
    assert dice(*map(torch.tensor, (logits, target, weight))).mean().item() == pytest.approx(wanted)


def test_dice_is_least_where_the_prediction_is_the_soft_target():
    target = torch.rand(B, 1, H, W, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits = torch.logit(target).requires_grad_()
    loss = dice(logits, target).mean()
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-12)
    assert logits.grad.abs().max() < 1e-12


def yuv_of(image, matrix):
    return np.einsum("ij,jhw->ihw", np.array(matrix), image)


def loop_smoothness(values, image, valid, variance_y, variance_uv, matrix, *, zeros_outside):
    """One sample, pixel by pixel: the mean of affinity x (difference)^2 over ordered pairs."""
    yuv, (h, w) = yuv_of(image, matrix), values.shape
    total = count = 0.0
    for y in range(h):
        for x in range(w):
            for dy, dx in NEIGHBOURS:
                v, u = y + dy, x + dx
                inside = 0 <= v < h and 0 <= u < w
                if not inside and not zeros_outside:
                    continue
                other_colour = yuv[:, v, u] if inside else np.zeros(3)
                other = values[v, u] if inside else 0.0
                d = yuv[:, y, x] - other_colour
                exponent = (dy**2 + dx**2) / 32 + d[0] ** 2 / (2 * variance_y)
                exponent += (d[1] ** 2 + d[2] ** 2) / (2 * variance_uv)
                weight = valid[y, x] * (valid[v, u] if inside else 1.0)
                total += weight * math.exp(-exponent) * (values[y, x] - other) ** 2
                count += weight
    return total / count


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_smoothness_agrees_with_a_loop_over_pixels(seed, masked):
    logits, _, valid, images = sample(seed)
    p = torch.sigmoid(logits)
    valid = valid if masked else torch.ones_like(valid)
    per_sample = [
        loop_smoothness(*(x.numpy() for x in arrays), 256, 64, RGB_TO_YUV, zeros_outside=False)
        for arrays in zip(p[:, 0], images, valid[:, 0])
    ]
    wanted = np.mean(per_sample)
    assert smoothness(p, images, valid if masked else None).mean().item() == pytest.approx(wanted)
    assert wanted > 1e-4


@pytest.mark.parametrize("seed", range(3))
def test_published_smoothness_agrees_with_a_loop_over_pixels(seed):
    logits, _, _, images = sample(seed)
    images = images / 10  # near black, so that the zeros outside count
    ones, transposed = np.ones((H, W)), np.array(RGB_TO_YUV).T
    wanted = np.mean([
        loop_smoothness(logits[i, 0].numpy(), images[i].numpy(), ones, 16, 8, transposed, zeros_outside=True)
        for i in range(B)
    ])  # fmt: skip
    assert smoothness_published(logits, images).mean().item() == pytest.approx(wanted)
    assert wanted > 1e-4


def test_a_step_of_16_grey_levels_stops_only_the_published_smoothness():
    grey = torch.zeros(1, 3, 1, 3, dtype=torch.float64)
    grey[..., 2] = 16.0
    values = torch.tensor([[[[0.0, 0.0, 1.0]]]], dtype=torch.float64)
    assert smoothness(values, grey).mean().item() == pytest.approx(math.exp(-4 / 32 - 0.5))
    assert smoothness_published(values, grey + 100).mean().item() < 1e-3


def test_yuv_is_bt601():
    rgb = torch.rand(1, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wanted = rgb2yuv(rgb[0].permute(1, 2, 0).numpy())
    np.testing.assert_allclose(rgb_to_yuv(255 * rgb)[0].permute(1, 2, 0).numpy(), 255 * wanted, atol=1e-9)


@pytest.mark.parametrize("loss", MASKED)
def test_pixels_of_weight_0_do_not_count(loss):
    logits, target, weight, _ = sample()
    other = torch.where(weight > 0, logits, -50.0)
    assert loss(other, target, weight).mean().item() == pytest.approx(loss(logits, target, weight).mean().item())
    assert loss(other, target).mean().item() != pytest.approx(loss(logits, target).mean().item())


def test_smoothness_ignores_padding():
    logits, _, _, images = sample()
    p = torch.sigmoid(logits)
    padded, frame = (
        torch.nn.functional.pad(p, (0, 4, 0, 3), value=0.9),
        torch.nn.functional.pad(images, (0, 4, 0, 3)),
    )
    valid = torch.nn.functional.pad(torch.ones_like(p), (0, 4, 0, 3))
    assert smoothness(padded, frame, valid).mean().item() == pytest.approx(smoothness(p, images).mean().item())


def test_smoothness_of_an_image_smaller_than_the_window_is_0():
    assert smoothness(torch.rand(1, 1, 2, 1), torch.rand(1, 3, 2, 1)).mean().item() == 0.0


@pytest.mark.parametrize("loss", MASKED)
def test_a_sample_without_weight_adds_nothing(loss):
    logits, target, _, _ = sample()
    weight = torch.ones_like(logits)
    weight[0] = 0
    assert loss(logits, target, weight).mean().item() == pytest.approx(
        loss(logits[1:], target[1:]).mean().item() / 2
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_losses_and_gradients_are_finite(dtype, scale):
    logits, target, weight, images = sample(dtype=dtype, scale=1.0)
    logits = (logits.sign() * scale if scale != 1.0 else logits).requires_grad_()
    hard = (target > 0.5).to(dtype)
    score = torch.sigmoid(logits.float().mean((1, 2, 3)))
    for truth in (target, hard, (logits > 0).to(dtype)):
        for variant in ("bilateral", "published"):
            weights = LossWeights(bce=1, dice=1, smoothness=1, smoothness_variant=variant, iou=1)
            loss, parts = total_loss(Decoded(logits, score), truth, images, weights, weight)
            (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
            assert loss.dtype == torch.float32
            assert set(parts) == {"bce", "dice", "smoothness", "iou"}
            assert torch.isfinite(loss)
            assert torch.isfinite(gradient).all()


def test_autocast_does_not_change_the_losses():
    logits, target, weight, images = sample(dtype=torch.float32)
    decoded, weights = Decoded(logits, torch.full((B,), 0.5)), LossWeights(1, 1, 1, "bilateral", 1)
    plain, _ = total_loss(decoded, target, images, weights, weight)
    with torch.autocast("cpu", torch.bfloat16):
        cast, _ = total_loss(decoded, target, images, weights, weight)
    assert cast.item() == plain.item()


@pytest.mark.parametrize("loss", [
    bce,
    dice,
    lambda x, t, w: smoothness(torch.sigmoid(x), IMAGES, w),
    lambda x, t, w: smoothness_published(x, IMAGES),
])  # fmt: skip
def test_gradients_agree_with_finite_differences(loss):
    logits, target, weight, _ = sample()
    assert torch.autograd.gradcheck(lambda x: loss(x, target, weight), logits.requires_grad_())


IMAGES = sample()[3]


def test_iou_error_compares_the_score_with_the_binary_overlap():
    logits = torch.tensor([[[[1.0, 2.0, -1.0, -3.0]]]])
    target = torch.tensor([[[[1.0, 0.4, 0.9, 0.0]]]])
    assert iou_error(torch.tensor([0.5]), logits, target).mean().item() == pytest.approx((0.5 - 1 / 3) ** 2)
    valid = torch.tensor([[[[1.0, 0.0, 1.0, 1.0]]]])
    assert iou_error(torch.tensor([0.5]), logits, target, valid).mean().item() == pytest.approx(0.0)
    assert iou_error(torch.tensor([1.0]), -logits.abs(), 0 * target).mean().item() == 0.0


def test_kept_looks_at_pixels_that_were_right_and_are_wrong():
    logits = torch.tensor([[[[2.0, -2.0, 2.0, -2.0]]]])
    target = torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]]])
    right = torch.tensor([[[[True, True, False, True]]]])
    entropy = torch.nn.functional.softplus(torch.tensor(2.0)).item()
    assert kept(logits, target, right).tolist() == pytest.approx([entropy / 4])
    valid = torch.tensor([[[[1.0, 0.0, 1.0, 1.0]]]])
    assert kept(logits, target, right, valid).tolist() == kept(logits, target, None).tolist() == [0.0]


def test_total_loss_is_the_weighted_sum_of_its_parts():
    logits, target, valid, images = sample(dtype=torch.float32)
    logits.requires_grad_()
    score = torch.full((B,), 0.3, requires_grad=True)
    weights = LossWeights(bce=0.5, dice=2.0, smoothness=3.0, iou=4.0)
    loss, parts = total_loss(Decoded(logits, score), target, images, weights, valid)
    assert set(parts) == {"bce", "dice", "smoothness", "iou"}
    assert not any(part.requires_grad for part in parts.values())
    assert parts["bce"].item() == pytest.approx(bce(logits, target, valid).mean().item())
    assert parts["smoothness"].item() == pytest.approx(
        smoothness(torch.sigmoid(logits), images, valid).mean().item()
    )
    wanted = 0.5 * parts["bce"] + 2 * parts["dice"] + 3 * parts["smoothness"] + 4 * parts["iou"]
    assert loss.item() == pytest.approx(wanted.item())
    loss.backward()
    assert score.grad.abs().min() > 0


def test_samples_count_in_the_total_loss_what_they_are_said_to():
    logits, target, valid, images = sample(dtype=torch.float32)
    score, weights, terms = torch.full((B,), 0.3), LossWeights(bce=1.0, smoothness=0.0, iou=2.0), []
    for i in range(B):
        one = [x[i : i + 1] for x in (target, images)]
        terms.append(total_loss(Decoded(logits[i : i + 1], score[:1]), *one, weights, valid[i : i + 1])[0])
    shares = torch.linspace(0.1, 0.6, B)
    loss, parts = total_loss(Decoded(logits, score), target, images, weights, valid, shares)
    assert loss.item() == pytest.approx(float((shares * torch.stack(terms)).sum()))
    assert loss.item() == pytest.approx(float(parts["bce"] + 2 * parts["iou"]))


def test_total_loss_takes_logits_of_a_lower_resolution():
    _, target, valid, images = sample(shape=(B, 1, 8, 12), dtype=torch.float32)
    logits = torch.randn(B, 1, 4, 6, generator=torch.Generator().manual_seed(1))
    _, parts = total_loss(Decoded(logits, torch.zeros(B)), target, images, LossWeights(), valid)
    halve = torch.nn.AvgPool2d(2)
    up = torch.nn.functional.interpolate(logits, (8, 12), mode="bilinear")
    assert parts["bce"].item() == pytest.approx(bce(up, target, valid).mean().item())
    wanted = smoothness(torch.sigmoid(logits), halve(images), halve(valid))
    assert parts["smoothness"].item() == pytest.approx(wanted.mean().item())


def test_loss_weights_default_to_the_paper():
    assert LossWeights().terms() == {
        "bce": 1.0,
        "dice": 0.0,
        "smoothness": 10.0,
        "iou": 0.0,
        "kept": 0.0,
    }


@pytest.mark.parametrize(
    ("settings_", "flag"),
    [
        ({"bce": -1.0}, "--bce -1"),
        ({"dice": float("nan")}, "--dice nan"),
        ({"smoothness": float("inf")}, "--smoothness inf"),
        ({"bce": 0.0, "smoothness": 0.0}, "all loss weights are 0"),
        ({"smoothness_variant": "other"}, "--smoothness-variant 'other'"),
    ],
)
def test_loss_weights_refuse_what_cannot_be_meant(settings_, flag):
    with pytest.raises(ConfigError, match=flag):
        LossWeights(**settings_)
