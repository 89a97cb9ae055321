"""Objects that people accepted are exact targets, refused regions are none, and the model says so."""

import json

import cv2
import numpy as np
import pytest

from clickgrain.errors import DataError, TrainingError
from clickgrain.evaluation import Benchmark
from clickgrain.evaluation import Target as LabelledTarget
from clickgrain.models.config import GrainConfig
from clickgrain.progress import Quiet
from clickgrain.proposals.config import Sampler
from clickgrain.training import config as recipes
from clickgrain.training.accepted import Accepted, add_accepted
from clickgrain.training.config import LearnArgs, Recipe
from clickgrain.training.learn import learn
from clickgrain.training.samples import make_batch
from clickgrain.weights import load_model, read_config


def target(name, photo, image, mask):
    return LabelledTarget(
        name, photo, lambda: image, lambda size: mask.astype(np.uint8) * np.uint8(255), lambda: str(mask.sum())
    )


def said(objects, refused=(), held_out=()):
    return Accepted(*(Benchmark(name, some) for name, some in zip("abc", (objects, held_out, refused))))


def disk(size, x, y, radius):
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.hypot(columns - x, rows - y) < radius


def test_half_of_the_samples_show_accepted_objects_exactly(fresh, drawn, extractor, settings):
    mask = disk((72, 96), 40, 30, 15)
    accepted = said([target("photo0.png#1", "photo0.png", drawn(0), mask)])
    new, failed = add_accepted(fresh, accepted, extractor, Quiet(), threads=1)
    assert (new, failed) == ([4], [])
    assert np.array_equal(fresh.mask(4) > 0.5, mask)
    assert 0 < fresh.level(4) < 1
    args = settings({"window": (1.0, 1.0), "rotate": 0.0, "masks_per_image": 1})
    batch = make_batch(fresh, [*range(4), *new], args.data, args.clicks, seed=0, step=1, count=60)
    shown = np.array([image == 4 for image in batch.images])
    assert 18 <= shown.sum() <= 42
    areas = batch.masks[np.flatnonzero(shown)].sum((1, 2, 3)).numpy()
    assert np.allclose(areas, mask.sum() * (64 / 96) ** 2, rtol=0.1)  # the whole disk, in every crop


def test_an_object_that_is_tiny_in_its_photo_is_shown_larger(fresh, drawn, extractor):
    photo = cv2.resize(drawn(1), (960, 720))
    mask = disk((720, 960), 500, 100, 12)
    add_accepted(fresh, said([target("photo1.png#1", "photo1.png", photo, mask)]), extractor, Quiet(), threads=1)
    assert fresh.size(4) == (96, 96)
    assert (fresh.mask(4) > 0.5).sum() == pytest.approx(np.pi * 12**2, rel=0.05)  # in its own pixels
    middle = photo[100 - 48 : 100 + 48, 500 - 48 : 500 + 48]
    assert np.abs(fresh.image(4).astype(int) - middle).mean() < 1


def test_what_was_refused_is_no_target_and_draws_negative_clicks(fresh, drawn, extractor, settings):
    tree = fresh.tree(0)
    node = int(max(range(tree.n_leaves, tree.n_nodes - 1), key=lambda one: tree.area[one] * (tree.area[one] < 200)))
    region = cv2.resize(tree.mask(node).astype(np.uint8), (96, 72), interpolation=cv2.INTER_NEAREST) > 0
    args = settings({"masks_per_image": 1, "window": (1.0, 1.0), "rotate": 0.0})
    wide = Sampler("area", min_area=0.01, max_area=0.9)

    def overlap(batch):
        found = []
        for i, mask in enumerate(batch.masks[:, 0].numpy()):
            there = cv2.warpAffine(region.astype(np.float32), batch.matrices[i].numpy(), (64, 64), flags=17) > 0.5
            found.append((there & (mask > 0.5)).sum() / max((there | (mask > 0.5)).sum(), 1))
        return max(found)

    data = recipes.replace(args.data, sampler=wide)
    assert overlap(make_batch(fresh, [0], data, args.clicks, seed=0, step=1, count=60)) > 0.9
    mask = disk((72, 96), 40, 30, 15) & ~region
    refused = target("photo0.png-0", "photo0.png", drawn(0), region)
    said_so = said([target("photo0.png#1", "photo0.png", drawn(0), mask)], [refused])
    add_accepted(fresh, said_so, extractor, Quiet(), threads=1)
    assert overlap(make_batch(fresh, [0], data, args.clicks, seed=0, step=1, count=60)) < 0.6
    clicks = recipes.replace(args.clicks, share_sibling=1.0, share_single=0.0, share_recursive=0.0)
    batch = make_batch(fresh, [0, 4], data, clicks, seed=0, step=1, count=40)
    at = []
    for i, prompt in enumerate(batch.prompts):
        if batch.images[batch.index[i]] != 4:
            continue
        to_image = batch.matrices[batch.index[i]].numpy()
        negative = prompt.points[prompt.labels == 0]
        at += [region[tuple(np.clip(np.round(to_image @ [*point, 1])[::-1].astype(int), 0, [71, 95]))]
               for point in negative]  # fmt: skip
    assert len(at) > 5
    assert np.mean(at) > 0.85  # a pixel at the border is rounded


def test_objects_that_cannot_be_read_are_named_and_none_at_all_is_an_error(fresh, drawn, extractor):
    def gone():
        raise DataError("p.png: gone")

    bad = LabelledTarget("p.png#1", "p.png", gone, lambda size: np.zeros(size, np.uint8))
    good = target("photo0.png#1", "photo0.png", drawn(0), disk((72, 96), 40, 30, 15))
    assert add_accepted(fresh, said([bad, good]), extractor, Quiet(), threads=1) == (
        [4],
        ["target p.png#1: p.png: gone"],
    )
    fresh.accepted.clear()
    with pytest.raises(DataError, match="gone"):
        add_accepted(fresh, said([bad]), extractor, Quiet(), threads=1)


def test_a_model_that_learned_from_objects_says_so_and_so_do_those_made_of_it(
    photos, tmp_path, drawn, monkeypatch, settings, tiny_config, one_thread, few_robot_clicks
):
    args = settings({"composites_per_photo": 0.5}, steps=3)
    monkeypatch.setitem(recipes.RECIPES, "grain-small", lambda: Recipe(tiny_config, args))
    objects = [target(f"p{i}.png#1", f"p{i}.png", drawn(i), disk((72, 96), 40, 30, 15)) for i in range(2)]
    run = LearnArgs(photos, tmp_path / "model", device="cpu", from_scratch=True)
    learn(run, Quiet(), accepted=said(objects))
    assert read_config(tmp_path / "model")["labelled"] is True
    assert load_model(tmp_path / "model")[0]["labelled"] is True
    saved = json.loads((tmp_path / "model" / "run.json").read_text())
    assert saved["objects"] == ["p0.png#1", "p1.png#1"]
    card = (tmp_path / "model" / "README.md").read_text()
    assert "not label-free" in card
    assert "| Accepted objects | 2" in card
    assert "self-supervised" not in card
    with pytest.raises(TrainingError, match="other accepted objects"):
        learn(run, Quiet())
    after = LearnArgs(photos, tmp_path / "after", device="cpu", start=str(tmp_path / "model"), recipe="grain-small")
    learn(after, Quiet())
    assert read_config(tmp_path / "after")["labelled"] is True
    assert "continues a model" in (tmp_path / "after" / "README.md").read_text()


def test_models_from_before_have_no_labels_and_their_configs_stay_as_they_were(tiny_config):
    values = tiny_config.to_json()
    assert "labelled" not in values
    assert GrainConfig.from_json(values) == tiny_config
