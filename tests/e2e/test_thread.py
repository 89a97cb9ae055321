"""The thread: one photo through every floor, from features to clicks counted, by the public API alone."""

import numpy as np
import torch
from skimage import data

import clickgrain as cg
from clickgrain.models.config import GrainConfig
from clickgrain.models.registry import build_model, engine_for


def photo():
    image = data.astronaut()
    return np.ascontiguousarray(image[::4, ::4])  # 128 x 128


def test_one_photo_goes_through_the_whole_spine():
    image = photo()
    features = cg.load_extractor("color-texture")(image)
    tree = cg.build_tree(features, image_size=image.shape[:2])
    assert features.shape[:2] == tree.grid
    node = cg.sample_proposal(tree, np.random.default_rng(3), decay=0.9, min_area=0.05)
    assert 0.05 < tree.area[node] / tree.n_leaves <= 1
    wanted = tree.upsample(node, image) > 0.5

    torch.manual_seed(0)
    model = build_model(GrainConfig.small(128).to_json())
    grain = cg.Segmenter(engine_for(model), "untrained grain")
    benchmark = cg_benchmark(image, wanted)
    for segmenter in (grain, cg.Segmenter.load("tree")):
        result = cg.evaluate(segmenter, benchmark)
        assert not result.failed
        assert result.noc(0.85) <= result.noc(0.90) <= 20
        # The target is a node of the very tree that both see, so a few clicks must get most of it.
        assert result.iou_at(20) > 0.7, segmenter.name


def cg_benchmark(image, mask):
    from clickgrain.evaluation import Benchmark

    return Benchmark.of([(image, mask)], "one photo")


def test_a_click_on_the_object_is_inside_and_one_beside_it_outside():
    image = photo()
    seg = cg.Segmenter.load("tree")
    seg.set_image(image)
    mask = seg.predict([[50, 40]], [1])
    corrected = seg.predict([[50, 40], [5, 5]], [1, 0], previous=mask)
    assert mask.binary[40, 50]
    assert corrected.binary[40, 50]
    assert not corrected.binary[5, 5]
