"""An object is carried through drawn frames, and the tracker knows when it is lost."""

import cv2
import numpy as np
import pytest

from clickgrain.errors import ImageError, PromptError
from clickgrain.tracking import LOST, Tracker

SIZE = 120, 160


def texture(seed, size=SIZE):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 128, (size[0] // 6, size[1] // 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)


def frames(count=12, *, turn=0.0, bar=0, size=SIZE):
    """A textured square of 36 pixels that moves right by 4 pixels a frame before other texture."""
    ground, face = texture(0, size), texture(1, (36, 36))
    ground[..., 2] += 60  # bluer than the object
    face[..., 0] += 100
    for i in range(count):
        motion = cv2.getRotationMatrix2D((17.5, 17.5), i * turn, 1)
        motion[:, 2] += (20 + 4 * i, size[0] / 2 - 18)
        alpha = cv2.warpAffine(np.ones((36, 36), np.float32), motion, size[::-1])[..., None]
        image = (ground * (1 - alpha) + cv2.warpAffine(face, motion, size[::-1]) * alpha).astype(np.uint8)
        mask = alpha[..., 0] > 0.5
        if bar:
            image[:, 70 : 70 + bar], mask[:, 70 : 70 + bar] = (30, 160, 60), False
        yield image, mask


def iou(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


@pytest.mark.parametrize(
    ("given", "least"),
    [({}, 0.85), ({"turn": 5.0}, 0.8), ({"bar": 12, "count": 22}, 0.65)],
    ids=["move", "turn", "hide"],
)
def test_an_object_that_moves_turns_or_is_partly_hidden_is_carried(given, least):
    (first, mask), *rest = frames(**given)
    tracker = Tracker(first, mask)
    tracked = [tracker.step(image) for image, _ in rest]
    assert min(iou(one.mask, truth) for one, (_, truth) in zip(tracked, rest)) > least
    assert all(one.score >= LOST for one in tracked)


def test_a_cut_to_another_scene_loses_the_object():
    (first, mask), *_ = frames(1)
    assert Tracker(first, mask).step(texture(7)).score < LOST


def test_an_object_that_leaves_the_image_has_no_pixel_and_no_score():
    (first, mask), *rest = frames(45)
    tracker = Tracker(first, mask)
    last = [tracker.step(image) for image, _ in rest][-1]
    assert not rest[-1][1].any()
    assert last.score < LOST
    assert last.mask.mean() < 0.02


def test_large_frames_are_carried_at_working_size_and_answered_at_their_own():
    (first, mask), *rest = frames(4, size=(720, 960))
    tracker = Tracker(first, mask)
    for image, truth in rest:
        tracked = tracker.step(image)
        assert tracked.mask.shape == (720, 960)
        assert iou(tracked.mask, truth) > 0.85


def test_the_same_frames_give_the_same_masks():
    (first, mask), *rest = frames(5)
    one, other = Tracker(first, mask), Tracker(first, mask)
    for image, _ in rest:
        a, b = one.step(image), other.step(image)
        assert (a.mask == b.mask).all()
        assert a.score == b.score


def test_a_mask_thinner_than_a_working_pixel_is_carried():
    image = texture(3, (720, 960))
    mask = np.zeros((720, 960), bool)
    mask[300, 400:600] = True
    assert Tracker(image, mask).step(image).mask.shape == (720, 960)


def test_what_is_no_object_or_no_frame_is_refused():
    (first, mask), *_ = frames(1)
    with pytest.raises(PromptError, match="0 pixels"):
        Tracker(first, np.zeros_like(mask))
    with pytest.raises(PromptError, match="120 x 160"):
        Tracker(first, mask[:50])
    with pytest.raises(ImageError, match="one size"):
        Tracker(first, mask).step(first[:60])
