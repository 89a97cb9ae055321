import sys
from types import ModuleType

import numpy as np
import pytest

from clickgrain.errors import ConfigError, PromptError
from clickgrain.evaluation import Benchmark, OpenCVGrabCut, evaluate, load_baseline
from clickgrain.types import Mask, Predictor, Scribble

SIZE = (40, 60)
OBJECT = np.zeros(SIZE, bool)
OBJECT[10:30, 20:50] = True
IMAGE = np.zeros((*SIZE, 3), np.uint8)


class Sam:
    """Answers in the manner of `SamPredictor`: a wrong mask with a low score, then a better one with a higher."""

    def __init__(self):
        self.calls = []

    def set_image(self, image):
        self.image = image

    def predict(
        self, point_coords=None, point_labels=None, box=None, mask_input=None, multimask_output=True, **others
    ):
        self.calls.append((point_coords, point_labels, box, mask_input, multimask_output))
        better = np.zeros(SIZE, bool)
        better[10 : 18 + 4 * len(self.calls), 20:50] = True
        logits = np.full((2, 8, 8), len(self.calls), np.float32)
        return np.stack([~better, better]), np.array([0.2, 0.8]), logits


class Plain(Sam):
    """Takes points only, and returns one mask of the wrong size."""

    def predict(self, point_coords, point_labels):
        self.calls.append((point_coords, point_labels))
        return np.ones((1, 3, 3), bool), [1.0], np.zeros((1, 2, 2))


class Nothing:
    pass


def failing():
    raise ValueError("no weights")


@pytest.fixture(autouse=True)
def module(monkeypatch):
    made = ModuleType("some_model")
    members = {"Sam": Sam, "Plain": Plain, "Nothing": Nothing, "failing": failing, "ready": OpenCVGrabCut(), "x": 1}
    for name, value in members.items():
        setattr(made, name, value)
    made.inner = ModuleType("inner")
    made.inner.make = OpenCVGrabCut
    monkeypatch.setitem(sys.modules, "some_model", made)
    return made


@pytest.fixture
def sam(module):
    module.one = Sam()
    predictor = load_baseline("python:some_model:one")
    predictor.set_image(IMAGE)
    return predictor, module.one


def test_a_predictor_is_taken_as_it_is(module):
    assert load_baseline("python:some_model:ready") is module.ready
    assert isinstance(load_baseline("python:some_model:inner.make"), OpenCVGrabCut)


def test_a_sam_style_object_is_clicked_like_any_other():
    predictor = load_baseline("python:some_model:Sam")
    assert isinstance(predictor, Predictor)
    result = evaluate(predictor, Benchmark.of([(IMAGE, OBJECT)]))
    assert result.model == "python:some_model:Sam"
    assert result.rows[0].ious[:3] == pytest.approx((12 / 20, 16 / 20, 1.0))


def test_the_best_mask_answers_and_the_others_are_alternatives(sam):
    mask = sam[0].predict([[25, 15]], [1])
    assert mask.score == pytest.approx(0.8)
    assert mask.binary[12, 25]
    assert [other.score for other in mask.alternatives] == pytest.approx([0.2])
    assert not mask.alternatives[0].binary[12, 25]


def test_what_sam_is_given(sam):
    predictor, model = sam
    first = predictor.predict([[25, 15]], [1])
    predictor.predict([[3, 4], [25, 15]], [0, 1], previous=first)
    predictor.predict(None, None, box=(1, 2, 30, 20), previous=np.zeros(SIZE, np.float32))
    predictor.predict(None, None, scribbles=[Scribble(np.array([[1, 1], [50, 1]], np.float32), 0)])
    one, two, boxed, stroke = model.calls
    assert (one[0].tolist(), one[1].tolist(), one[2:]) == ([[25, 15]], [1], (None, None, True))
    assert (two[0].tolist(), two[1].tolist(), two[4]) == ([[25, 15], [3, 4]], [1, 0], False)
    assert two[3].shape == (1, 8, 8)
    assert (two[3] == 1).all()
    assert (boxed[0], boxed[1], boxed[2].tolist(), boxed[3]) == (None, None, [1, 2, 30, 20], None)
    assert (stroke[1] == 0).all()
    assert len(stroke[0]) >= 3


def test_only_what_it_takes_is_passed(module):
    module.plain = Plain()
    predictor = load_baseline("python:some_model:plain")
    predictor.set_image(IMAGE)
    with pytest.raises(PromptError, match=r"plain: a mask of shape \(3, 3\)"):
        predictor.predict([[1, 1]], [1], previous=Mask(np.zeros(SIZE, np.float32), state="else"))
    with pytest.raises(PromptError, match="takes no box"):
        predictor.predict([[1, 1]], [1], box=(0, 0, 9, 9))
    assert len(module.plain.calls) == 1


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("python:some_model", "is not an import path"),
        ("python::Sam", "is not an import path"),
        ("python:no_such_module_here:Sam", "cannot import 'no_such_module_here'.*PYTHONPATH"),
        ("python:some_model:nowhere", "there is no 'nowhere' in 'some_model'"),
        ("python:some_model:Nothing", "a Nothing has no set_image and predict"),
        ("python:some_model:x", "a int has no set_image and predict"),
        ("python:some_model:failing", r"failed when called without arguments \(ValueError: no weights\)"),
    ],
)
def test_what_is_no_predictor_is_explained(path, message):
    with pytest.raises(ConfigError, match=message):
        load_baseline(path)


def test_an_image_comes_first():
    with pytest.raises(PromptError, match="set_image"):
        load_baseline("python:some_model:Sam").predict([[1, 1]], [1])
