"""Salient objects in the image set: looked for once, remembered, trained on, cut out, validated on."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from clickgrain.errors import ConfigError
from clickgrain.training import prepare as module
from clickgrain.training.composites import add_composites
from clickgrain.training.config import DataArgs
from clickgrain.training.prepare import find_objects
from clickgrain.training.samples import Pools, draw_sample, make_batch
from clickgrain.training.validation import make_validation


def photo(seed, coloured=True):
    """A two-coloured disk on textured ground, or the ground alone."""
    rng = np.random.default_rng(seed)
    image = np.clip(cv2.GaussianBlur(rng.normal(0, 40, (72, 96, 3)), (0, 0), 1.5) + np.array([90, 130, 80]), 0, 255)
    if coloured:
        cv2.ellipse(image, (48, 36), (20, 22), 0, 0, 180, (200, 50, 40), -1)
        cv2.ellipse(image, (48, 36), (20, 22), 0, 180, 360, (40, 60, 190), -1)
    return np.ascontiguousarray(image.astype(np.uint8))


@pytest.fixture(scope="module")
def disk():
    mask = np.zeros((72, 96), np.uint8)
    cv2.ellipse(mask, (48, 36), (20, 22), 0, 0, 360, 1, -1)
    return mask > 0


@pytest.fixture
def photos(make_image_set):
    return make_image_set([photo(0), photo(1, coloured=False), photo(2)])


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_objects_are_found_where_there_are_any(photos, disk):
    calls = []
    find_objects(photos, advance=lambda: calls.append(1), threads=2)
    assert sorted(photos.objects) == [0, 2]
    assert len(calls) == 3
    assert iou(photos.mask(0) > 0.5, disk) > 0.85


def test_they_are_remembered_by_name_and_content(photos, tmp_path, monkeypatch, make_image_set):
    cache, looked = tmp_path / "run" / "objects.safetensors", []
    find_objects(photos, cache=cache)
    real = module.salient_object
    monkeypatch.setattr(module, "salient_object", lambda *a: looked.append(1) or real(*a))
    again, changed = (
        make_image_set([photo(0), photo(1, coloured=False), photo(2)]),
        make_image_set([photo(i) for i in range(3)]),
    )
    find_objects(again, cache=cache)
    assert looked == []
    assert {i: m.tobytes() for i, m in again.objects.items()} == {i: m.tobytes() for i, m in photos.objects.items()}
    find_objects(changed, cache=cache)
    assert sorted(changed.objects) == [0, 1, 2]
    assert looked == [1]


@pytest.mark.parametrize("spoil", ["bytes", "version"])
def test_a_damaged_or_old_memory_is_begun_anew(photos, tmp_path, monkeypatch, spoil):
    cache = tmp_path / "objects.safetensors"
    find_objects(photos, cache=cache)
    if spoil == "bytes":
        cache.write_bytes(b"no such thing")
    else:
        monkeypatch.setattr(module, "VERSION", "next")
    photos.objects.clear()
    find_objects(photos, cache=cache)
    assert sorted(photos.objects) == [0, 2]
    assert module.load_objects(cache).keys() == {module.object_key(photos, i) for i in range(3)}


@pytest.mark.parametrize(
    "spoilt",
    [np.arange(90, dtype=np.uint8), np.zeros((2, 3), np.uint8), np.zeros(9, np.float32), "another size"],
    ids=["noise", "shape", "type", "size"],
)
def test_a_damaged_mask_in_the_memory_is_found_again(photos, tmp_path, spoilt):
    cache = tmp_path / "objects.safetensors"
    find_objects(photos, cache=cache)
    expected = {i: photos.mask(i) for i in photos.objects}
    found = module.load_objects(cache)
    mask = cv2.imencode(".png", np.zeros((5, 4), np.uint8))[1].ravel() if isinstance(spoilt, str) else spoilt
    module.save_objects(cache, {**found, module.object_key(photos, 0): mask})
    photos.objects.clear()
    find_objects(photos, cache=cache)
    assert photos.objects.keys() == expected.keys()
    np.testing.assert_array_equal(photos.mask(0), expected[0])
    np.testing.assert_array_equal(
        module.load_objects(cache)[module.object_key(photos, 0)], found[module.object_key(photos, 0)]
    )


def test_what_was_found_before_a_stop_is_kept(photos, tmp_path, monkeypatch):
    cache, looked = tmp_path / "objects.safetensors", []
    monkeypatch.setattr(module, "SAVE_EVERY", 1)
    real = module.salient_object

    def stopped(*a):
        looked.append(1)
        if len(looked) == 3:
            raise KeyboardInterrupt
        return real(*a)

    monkeypatch.setattr(module, "salient_object", stopped)
    with pytest.raises(KeyboardInterrupt):
        find_objects(photos, cache=cache)
    find_objects(photos, cache=cache)
    assert len(looked) == 4


def test_samples_have_the_object_as_an_exact_target(photos, settings, disk):
    find_objects(image_set := photos)
    args = settings({"objects": 1.0, "composites": 0.0, "rotate": 0.0, "masks_per_image": 1})
    for seed in range(8):
        pools = Pools([0, 1, 2], [], sorted(image_set.objects), [])
        sample = draw_sample(image_set, pools, args.data, args.clicks, np.random.default_rng(seed))
        assert sample.image in image_set.objects
        (target,) = sample.targets
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        wanted = cv2.warpAffine(disk.astype(np.float32), sample.to_image, (64, 64), flags=flags) * sample.valid
        assert iou(target.mask > 0.5, wanted > 0.5) > 0.8


def test_batches_hold_both_kinds(photos, settings):
    args = settings({"objects": 0.5, "composites": 0.0, "masks_per_image": 1})
    told = replace(args.clicks, share_level=1.0)  # regions have levels, objects have none

    def objects():
        batch = make_batch(photos, [0, 1, 2], args.data, told, seed=0, step=0, count=24)
        return sum(prompt.level is None for prompt in batch.prompts)

    assert objects() == 0
    find_objects(photos)
    assert 4 < objects() < 20


def test_the_published_law_draws_larger_regions(photos, settings):
    def mean(share):
        args = settings({"large": share, "composites": 0.0, "rotate": 0.0, "window": (1.0, 1.0)})
        batch = make_batch(photos, [0, 1, 2], args.data, args.clicks, seed=0, step=0, count=40)
        return float(batch.masks.mean())

    assert mean(1.0) > 1.2 * mean(0.0)


def test_composites_are_cut_out_of_objects(photos, extractor, disk):
    find_objects(photos)
    del photos.objects[2]
    assert add_composites(photos, 6, extractor, photos=[0, 1], seed=0) == range(3, 9)
    areas = [photos.mask(i).sum() for i in range(3, 9)]
    assert min(areas) > 0


def test_held_out_objects_are_validated_on(photos, settings):
    find_objects(photos)
    found = make_validation(photos, [0, 1], [], settings().data, count=4, seed=0).objects
    assert len(found) == 1
    assert np.array_equal(found[0][0], photos.image(0))


@pytest.mark.parametrize("name", ["objects", "large"])
def test_shares_are_shares(name):
    with pytest.raises(ConfigError, match=f"--data.{name} 1.5 is outside"):
        DataArgs(**{name: 1.5})
