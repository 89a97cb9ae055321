"""Boxes and strokes under the protocol."""

import numpy as np
import pytest

from clickgrain.clicks.robot import Drawn
from clickgrain.clicks.users import BoxFirstUser, ScribbleUser
from clickgrain.evaluation import Benchmark, OpenCVGrabCut, Result, TargetResult, evaluate
from clickgrain.evaluation.protocol import disobeyed, prompt_of
from clickgrain.types import Mask

IMAGE = np.zeros((40, 60, 3), np.uint8)
OBJECT = np.zeros((40, 60), bool)
OBJECT[10:30, 20:50] = True
BENCHMARK = Benchmark.of([(IMAGE, OBJECT)])


class Obedient:
    """Fills boxes, marks strokes and clicks; one column less per call, so that more is asked for."""

    def set_image(self, image):
        self.calls = []

    def predict(self, points, labels, box=None, scribbles=None, level=None, previous=None):
        self.calls.append((points.tolist(), labels.tolist(), box, scribbles))
        mask = np.zeros((40, 60), np.float32)
        if box:
            mask[int(box[1]) : int(box[3]), int(box[0]) + 15 : int(box[2])] = 1
        for stroke in scribbles or ():
            x, y = stroke.points.astype(int).T
            mask[y, x] = stroke.label
        return Mask(mask)


class ClicksOnly(Obedient):
    def predict(self, points, labels, previous=None):
        raise AssertionError("never reached")


def test_a_box_is_the_first_interaction_and_stays_in_the_prompt():
    predictor = Obedient()
    (row,) = evaluate(predictor, BENCHMARK, user=BoxFirstUser(), max_clicks=3).rows
    box = (20.0, 10.0, 50.0, 30.0)
    assert predictor.calls[0] == ([], [], box, None)
    assert [call[2] for call in predictor.calls] == [box] * 3
    assert row.drawn == ((0, Drawn("box", ((20.0, 10.0), (50.0, 30.0)))),)
    assert (len(row.ious), len(row.clicks), row.ious[0]) == (3, 2, 0.5)
    assert row.given == (row.drawn[0][1], *row.clicks)
    assert row.disobeyed == (0, 1, 2)
    assert row.obeyable == 3  # the first click in two masks, the second in one


def test_strokes_are_scribbles_and_none_is_given_twice():
    predictor = Obedient()
    result = evaluate(predictor, BENCHMARK, user=ScribbleUser(), max_clicks=4)
    (row,) = result.rows
    assert row.clicks == ()
    assert [at for at, _ in row.drawn] == [0, 1, 2, 3]
    assert [len(call[3]) for call in predictor.calls] == [1, 2, 3, 4]
    assert row.ious[-1] > row.ious[0]
    assert result.disobeyed == 0
    assert len({stroke.points for _, stroke in row.drawn}) == 4


@pytest.mark.parametrize(("user", "kind"), [(BoxFirstUser(), "box"), (ScribbleUser(), "scribble")])
def test_a_predictor_that_takes_clicks_only_fails_on_the_target(user, kind):
    (row,) = evaluate(ClicksOnly(), BENCHMARK, user=user).rows
    assert row.error.startswith(f"given a {kind}: TypeError: ")
    assert "unexpected keyword argument" in row.error
    assert row.ious == ()


def test_the_clicks_after_a_box_are_blamed_on_it_too():
    class Moody(Obedient):
        def predict(self, points, labels, box=None, previous=None):
            if len(points):
                raise ValueError("no clicks inside boxes")
            return super().predict(points, labels, box)

    (row,) = evaluate(Moody(), BENCHMARK, user=BoxFirstUser()).rows
    assert row.error == "given a box: ValueError: no clicks inside boxes"
    assert (len(row.ious), len(row.clicks)) == (1, 1)


def test_a_file_keeps_what_was_drawn(tmp_path):
    path = tmp_path / "rows.jsonl"
    first = evaluate(Obedient(), BENCHMARK, model="m", user=BoxFirstUser(), max_clicks=2, jsonl=path)
    again = evaluate(Obedient(), BENCHMARK, model="m", user=BoxFirstUser(), max_clicks=2, jsonl=path)
    assert again == first == Result.from_json(first.to_json())
    robot = evaluate(OpenCVGrabCut(), BENCHMARK, max_clicks=1).rows[0].to_dict()
    assert "drawn" not in robot  # rows of clicks alone are as they always were
    assert TargetResult.from_dict(robot).drawn == ()


def test_prompts_name_only_what_was_given():
    assert set(prompt_of([(1, 2, 1)])) == {"points", "labels"}
    stroke = Drawn("scribble", ((1.0, 2.0), (3.0, 4.0)), 0)
    prompt = prompt_of([Drawn("box", ((0.0, 1.0), (5.0, 6.0))), stroke])
    assert prompt["points"].shape == (0, 2)
    assert prompt["box"] == (0.0, 1.0, 5.0, 6.0)
    assert prompt["scribbles"][0].label == 0


def test_a_stroke_is_disobeyed_when_most_of_it_is():
    strokes = [Drawn("scribble", tuple((x, 20.0) for x in range(18, end)), 1) for end in (21, 22, 23)]
    assert [disobeyed(OBJECT, [stroke]) for stroke in strokes] == [1, 0, 0]
    assert disobeyed(OBJECT, [Drawn("box", ((0.0, 0.0), (5.0, 5.0)))]) == 0
