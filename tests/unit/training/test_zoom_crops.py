"""Closer views of large photos."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from clickgrain.errors import TrainingError
from clickgrain.features import ColorTexture
from clickgrain.images import ImageFile
from clickgrain.progress import Quiet
from clickgrain.proposals.pipeline import propose
from clickgrain.proposals.store import ProposalStore
from clickgrain.training import prepare as module
from clickgrain.training.config import TrainArgs
from clickgrain.training.prepare import ZoomCrops, add_zoom_crops, choose_photos, prepare
from clickgrain.training.samples import FINER, Pools, draw_sample
from clickgrain.tree import build_tree


def coordinates(height, width):
    """A picture whose red and green say where a pixel lies, up to 256 steps each way."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x / (width - 1), 255 * y / (height - 1), 0 * x], -1).astype(np.uint8)


def extent(view):
    """Width and height of a view of `coordinates`, as shares of the whole."""
    return [(float(view[..., c].max()) - float(view[..., c].min())) / 255 for c in (0, 1)]


def cut(image, *, side=64, most=4, photos=1, seed=0, name="a.jpg"):
    tiles = ZoomCrops(side, most, photos, seed)
    tiles.look(3, ImageFile(name, name), image)
    return [(place[0], crop) for place, crop in zip(tiles.places, tiles.cut, strict=True)]


@pytest.mark.parametrize(
    ("longest", "count"), [(100, 0), (127, 0), (128, 1), (192, 2), (256, 3), (320, 4), (2000, 4)]
)
def test_the_larger_a_photo_the_more_views_it_has(longest, count):
    found = cut(coordinates(64, longest))
    assert [number for number, _ in found] == [3] * count
    assert all(max(view.shape[:2]) == 64 for _, view in found)


def test_views_are_squares_of_several_sizes_anywhere_in_the_photo():
    views = [view for seed in range(60) for _, view in cut(coordinates(600, 900), seed=seed)]
    widths = np.array([extent(view)[0] for view in views])
    assert {view.shape for view in views} == {(64, 64, 3)}
    assert widths.min() == pytest.approx(1 / module.CLOSEST, abs=0.03)
    assert widths.max() == pytest.approx(1 / module.WIDEST, abs=0.03)
    assert 0.25 < np.median(widths) < 0.42  # log-uniform
    left, top = (np.array([view[..., c].min() for view in views], float) for c in (0, 1))
    assert min(left.min(), top.min()) < 5
    right, bottom = (np.array([view[..., c].max() for view in views], float) for c in (0, 1))
    assert min(right.max(), bottom.max()) > 250


def test_never_closer_than_the_photos_own_pixels():
    views = [view for seed in range(40) for _, view in cut(coordinates(200, 200), seed=seed)]
    assert min(extent(view)[0] for view in views) > 64 / 200 - 0.02


def test_long_and_narrow_photos():
    views = [view for _, view in cut(coordinates(10, 900))]
    assert [view.shape[1] for view in views] == [64] * 4
    assert all(1 <= view.shape[0] < 10 for view in views)
    for view in views:
        assert build_tree(ColorTexture()(view), view.shape[:2]).image_size == view.shape[:2]


def test_they_depend_on_seed_and_name_alone():
    image = coordinates(300, 400)
    one, again, seed, name = cut(image), cut(image), cut(image, seed=1), cut(image, name="b.jpg")
    assert all((a == b).all() for (_, a), (_, b) in zip(one, again, strict=True))
    for other in (seed, name):
        assert any(a.shape != b.shape or (a != b).any() for (_, a), (_, b) in zip(one, other))


def test_many_photos_share_the_views():
    photos = 4 * module.IN_ALL
    tiles = ZoomCrops(16, 2, photos, 0)
    image = coordinates(48, 64)
    for i in range(400):
        tiles.look(i, ImageFile(f"{i}.jpg", f"{i}.jpg"), image)
    assert len(tiles.cut) == pytest.approx(400 * module.IN_ALL / photos, rel=0.25)


@pytest.fixture(scope="module")
def data(tmp_path_factory, drawn, settings):
    """What is prepared of three large photos and four small ones."""
    folder = tmp_path_factory.mktemp("large")
    for seed in range(7):
        image = cv2.resize(drawn(seed), (300, 225)) if seed < 3 else drawn(seed)
        cv2.imwrite(str(folder / f"p{seed}.png"), image[..., ::-1])
    extractor = ColorTexture()
    propose(folder, folder / "trees.db", extractor=extractor, progress=False, workers=1)
    store = ProposalStore(folder / "trees.db")
    args: TrainArgs = settings({"tiles": 2, "photo_side": 96, "held_out": 0.4, "objects": 0.5})
    photos, _ = choose_photos(folder, store, (), extractor.name)
    return SimpleNamespace(
        args=args,
        found=prepare(photos, store, args, extractor, Quiet(), seed=0),
        extractor=extractor,
        folder=folder,
    )


def test_views_are_photos_of_the_bank_with_trees_of_their_own(data):
    image_set = data.found.image_set
    views = [i for i in range(image_set.photos) if "#tile" in image_set.names[i]]
    assert views == list(range(7, image_set.photos))
    assert [image_set.names[i].split("#")[0] for i in views] == [
        "p0.png",
        "p0.png",
        "p1.png",
        "p1.png",
        "p2.png",
        "p2.png",
    ]
    for i in views:
        tree, image = image_set.tree(i), image_set.image(i)
        assert tree.image_size == image.shape[:2]
        own = build_tree(data.extractor(image), image.shape[:2])
        np.testing.assert_array_equal(tree.children, own.children)
    assert len(image_set) > image_set.photos
    assert data.found.images[-1] >= image_set.photos


def test_views_of_held_out_photos_are_held_out(data):
    image_set = data.found.image_set
    trained = {image_set.names[i].split("#")[0] for i in data.found.images if i < image_set.photos}
    views = [i for i in range(image_set.photos) if "#tile" in image_set.names[i]]
    assert 0 < len(trained) < 7
    for i in views:
        assert (i in data.found.images) == (image_set.names[i].split("#")[0] in trained)
    assert any(i in data.found.images for i in views)


def test_a_bank_without_views_stays_as_it_is(mixed):
    assert add_zoom_crops(mixed, ZoomCrops(96, 0, 4, 0), ColorTexture()) == {}
    assert len(mixed) == 7


def test_photos_that_have_views_give_smaller_targets_too(data, monkeypatch):
    image_set, asked = data.found.image_set, []
    assert image_set.large == {0, 1, 2}

    def draw(picture):
        source = image_set.source(picture)
        monkeypatch.setattr(type(source), "draw", lambda self, rng, n, sampler: asked.append(sampler) or [])
        pools, data_args = Pools([picture], [], [], []), replace(data.args.data, objects=0.0)
        with pytest.raises(TrainingError):
            draw_sample(image_set, pools, data_args, data.args.clicks, np.random.default_rng(0))
        monkeypatch.undo()
        return {sampler.min_area for sampler in asked[-10:]}

    own = data.args.data.sampler.min_area
    assert [draw(i) for i in (0, 3, 7)] == [{own * FINER}, {own}, {own}]
