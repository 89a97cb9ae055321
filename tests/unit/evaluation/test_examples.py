import re

import numpy as np
import pytest

from clickgrain.clicks.robot import Drawn, RobotUser
from clickgrain.evaluation import Benchmark, OpenCVGrabCut, Result, evaluate
from clickgrain.evaluation.drawing import overlay
from clickgrain.evaluation.examples import (
    Entry,
    border_contact,
    examples,
    groups_of,
    hardest,
    replay,
    tree_figures,
)
from clickgrain.tree import build_tree
from clickgrain.types import Mask

SIDE = 48


class Threshold:
    """Answers with what has nearly the colour of the first click; never perfect, always the same."""

    def __init__(self, reach: float) -> None:
        self.name, self.reach = f"reach {reach:g}", reach
        self.calls: list[bool] = []

    def set_image(self, image):
        self.image = image.astype(np.float32)

    def predict(self, points, labels, box=None, scribbles=None, level=None, previous=None):
        self.calls.append(previous is not None)
        x, y = (int(v) for v in points[0])
        near = np.abs(self.image - self.image[y, x]).max(2) <= self.reach
        return Mask(near.astype(np.float32))


@pytest.fixture(scope="module")
def predictors():
    return [Threshold(30), Threshold(8)]


@pytest.fixture(scope="module")
def results(scene, predictors) -> list[Result]:
    benchmark = Benchmark.of(scene, "squares")
    return [evaluate(predictor, benchmark, max_clicks=6) for predictor in predictors]


def loader(scene):
    return lambda id_: scene[int(id_)]


def test_best_median_and_worst_with_every_models_mask(scene, results, predictors):
    entries = [Entry(result, label, 0, model) for result, label, model in zip(results, ["one", "two"], predictors)]
    shown = examples(entries, loader(scene), clicks=2)
    assert [title.split(":")[0] for title, _ in shown] == ["Best", "Median", "Worst"]
    ids = [title.rpartition(" ")[2] for title, _ in shown]
    ease = [results[0].curves[int(id_), :5].mean() for id_ in ids]
    assert ease == sorted(ease, reverse=True)
    for id_, (_, figures) in zip(ids, shown):
        image, target = scene[int(id_)]
        assert [figure.title for figure in figures] == ["Wanted", "one", "two"]
        for figure, result, predictor in zip(figures[1:], results, predictors):
            row = next(row for row in result.rows if row.id == id_)
            made = row.clicks[:2]
            assert (
                figure.text == f"IoU {row.ious[len(made) - 1]:.2f} after {len(made)} click{'s' * (len(made) > 1)}"
            )
            mask = replay(predictor, image, made).probability > 0.5
            assert (figure.image == overlay(image, mask, made, target=target)).all()


def test_a_lone_target_is_shown_once(scene, predictors):
    result = evaluate(predictors[0], Benchmark.of(scene[:1]), max_clicks=3)
    assert len(examples([Entry(result, "one", 0, predictors[0])], loader(scene))) == 1


def test_a_model_that_failed_is_left_out(scene, results, predictors):
    class Broken(Threshold):
        def predict(self, *args, **kwargs):
            raise RuntimeError("no")

    broken = Broken(1)
    failed = evaluate(broken, Benchmark.of(scene), max_clicks=3)
    entries = [Entry(results[0], "good", 0, predictors[0]), Entry(failed, "broken", 1, broken)]
    shown = examples(entries, loader(scene))
    assert [[figure.title for figure in figures] for _, figures in shown] == [["Wanted", "good"]] * 3


def test_replay_gives_what_the_evaluation_saw(scene):
    image, mask = scene[1]
    grabcut = OpenCVGrabCut()
    result = evaluate(grabcut, Benchmark.of([(image, mask)]), max_clicks=3, user=RobotUser())
    row = result.rows[0]
    answer = replay(grabcut, image, row.clicks).probability > 0.5
    assert (answer & mask).sum() / (answer | mask).sum() == pytest.approx(row.ious[-1])


def test_replay_hands_the_previous_mask_back(scene):
    predictor = Threshold(30)
    replay(predictor, scene[0][0], [(10, 10, 1), (40, 40, 0), (12, 12, 1)])
    assert predictor.calls == [False, True, True]


def test_boxes_and_strokes_are_given_again(scene):
    prompts = []

    class Bright(Threshold):
        def predict(self, points, labels, previous=None, **more):
            prompts.append((len(points), sorted(more)))
            return Mask((self.image.mean(2) > self.reach).astype(np.float32))

    box, stroke = Drawn("box", ((5.0, 5.0), (30.0, 30.0))), Drawn("scribble", ((8.0, 8.0), (20.0, 12.0)), 0)
    replay(Bright(100), scene[0][0], [box, (9, 9, 1), stroke])
    assert prompts == [(0, ["box"]), (1, ["box"]), (1, ["box", "scribbles"])]


def test_tree_pictures_show_the_photo_its_cuts_and_the_region(scene):
    image = scene[2][0]
    tree = build_tree(image[::2, ::2].astype(np.float32), image.shape[:2])
    figures = tree_figures(image, tree, (20, 20), level=0.9)
    titles = ["Photo", "120 regions", "30 regions", "8 regions", "The clicked region"]
    assert [figure.title for figure in figures] == titles
    assert re.fullmatch(r"at level 0\.\d\d, \d+ % of the photo", figures[-1].text)
    assert (figures[-1].image != figures[0].image).any()


def touching(side, corner):
    mask = np.zeros((40, 50), bool)
    mask[corner : corner + side, corner : corner + side] = True
    return np.zeros((40, 50, 3), np.uint8), mask


SQUARES = Benchmark.of(
    [touching(6, 9), touching(6, 0), touching(14, 9), touching(14, 0), touching(24, 8)], "squares"
)


def test_border_contact_is_read_from_the_masks():
    assert border_contact(SQUARES) == {"0": False, "1": True, "2": False, "3": True, "4": False}


def test_every_target_is_in_one_group():
    results = [evaluate(Threshold(1), SQUARES, max_clicks=2)]
    assert groups_of(results, border_contact(SQUARES)) == {
        "small, inside the image": {"0"},
        "small, touching its border": {"1"},
        "medium, inside the image": {"2"},
        "medium, touching its border": {"3"},
        "large, inside the image": {"4"},
    }
    assert list(groups_of(results, {})) == ["small", "medium", "large"]


def test_the_hardest_targets_are_those_that_some_model_never_reaches(scene, results):
    ids = frozenset("012")
    never = {row.id for result in results for row in result.rows if max(row.ious) < 0.9}
    shown = hardest(results, ids, loader(scene), 0.9)
    assert {figure.title for figure in shown} == never
    assert hardest(results, ids, loader(scene), 0.0) == []
    assert all(re.fullmatch("[12] of 2 fail", figure.text) for figure in shown)
