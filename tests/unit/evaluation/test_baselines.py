from pathlib import Path

import numpy as np
import pytest

from clickgrain.errors import ConfigError, PromptError
from clickgrain.evaluation import BASELINES, Benchmark, OpenCVGrabCut, evaluate, load_baseline
from clickgrain.evaluation.baselines import is_baseline
from clickgrain.types import Predictor, Scribble

SIZE = (72, 96)
OBJECT = np.zeros(SIZE, bool)
OBJECT[20:50, 30:70] = True


@pytest.fixture(scope="module")
def photo():
    """A warm noisy rectangle on cold noise."""
    return two_colours(noise=12)


@pytest.fixture(scope="module")
def clean():
    """The same with little noise, for methods that know no colour model."""
    return two_colours(noise=4)


def two_colours(noise):
    rng = np.random.default_rng(0)
    colour = np.where(OBJECT[..., None], (200, 90, 40), (40, 80, 160))
    return np.clip(colour + rng.normal(0, noise, (*SIZE, 3)), 0, 255).astype(np.uint8)


@pytest.fixture
def grabcut(photo):
    predictor = load_baseline("opencv-grabcut")
    predictor.set_image(photo)
    return predictor


def overlap(mask):
    return (mask & OBJECT).sum() / (mask | OBJECT).sum()


def test_is_a_predictor_that_finds_an_object_of_one_colour(photo):
    assert isinstance(OpenCVGrabCut(), Predictor)
    result = evaluate(OpenCVGrabCut(), Benchmark.of([(photo, OBJECT)]))
    assert result.model == "opencv-grabcut"
    assert result.noc(0.95) == 1


def test_the_same_prompt_gets_the_same_answer(grabcut):
    first = grabcut.predict([[45, 35], [5, 5]], [1, 0]).binary
    grabcut.predict([[10, 60]], [1])
    assert (grabcut.predict([[45, 35], [5, 5]], [1, 0]).binary == first).all()


@pytest.mark.parametrize(("seed", "calls"), [(7, [7, 7]), (None, [])])
def test_seeds_every_prediction_or_none(photo, monkeypatch, seed, calls):
    seen = []
    monkeypatch.setattr("cv2.setRNGSeed", seen.append)
    predictor = OpenCVGrabCut(seed)
    predictor.set_image(photo)
    for _ in range(2):
        predictor.predict([[45, 35]], [1])
    assert seen == calls


def test_previous_is_ignored(grabcut):
    first = grabcut.predict([[45, 35]], [1])
    assert (grabcut.predict([[45, 35]], [1], previous=~first.binary).binary == first.binary).all()


def test_clicks_are_certain(grabcut):
    mask = grabcut.predict([[45, 35], [50, 40]], [1, 0]).binary
    assert mask[35, 41:46].all()
    assert not mask[40, 50]


def test_a_box_and_a_scribble(grabcut):
    assert overlap(grabcut.predict(None, None, box=(25, 15, 75, 55)).binary) > 0.95
    boxed = grabcut.predict(None, None, box=(25, 15, 50, 55)).binary
    assert not boxed[:, 50:].any()
    stroke = Scribble(np.array([[35, 25], [65, 45]], np.float32), 1)
    assert overlap(grabcut.predict(None, None, scribbles=[stroke]).binary) > 0.95
    crossed = Scribble(np.array([[30, 35], [69, 35]], np.float32), 0)
    mask = grabcut.predict([[45, 25]], [1], scribbles=[crossed]).binary
    assert not mask[35, 30:70].any()


def test_seeds_of_one_kind_only_answer_without_colour_models(grabcut, photo):
    assert not grabcut.predict([[5, 5]], [0]).binary.any()
    grabcut.set_image(np.ascontiguousarray(photo[:8, :8]))
    assert grabcut.predict([[4, 4]], [1]).binary.all()


@pytest.mark.parametrize("name", BASELINES)
class TestEveryBaseline:
    def test_finds_a_rectangle_in_few_clicks(self, clean, name):
        predictor = load_baseline(name)
        assert isinstance(predictor, Predictor)
        result = evaluate(predictor, Benchmark.of([(clean, OBJECT)]))
        assert (result.model, [row.error for row in result.failed]) == (name, [])
        assert result.noc(0.90) <= 4
        assert is_baseline(name)

    def test_the_same_prompt_gets_the_same_answer(self, clean, name):
        answers = []
        for _ in range(2):
            predictor = load_baseline(name)
            predictor.set_image(clean)
            predictor.predict([[5, 5]], [1])
            answers.append(predictor.predict([[45, 35], [5, 5]], [1, 0]).probability)
        assert (answers[0] == answers[1]).all()
        assert answers[0].shape == SIZE
        assert answers[0].min() >= 0
        assert answers[0].max() <= 1

    def test_box_and_scribbles(self, clean, name):
        predictor = load_baseline(name)
        predictor.set_image(clean)
        assert overlap(predictor.predict(None, None, box=(25, 15, 75, 55)).binary) > 0.75
        strokes = [
            Scribble(np.array([[34, 25], [65, 45]], np.float32), 1),
            Scribble(np.array([[5, 5], [90, 5], [90, 65], [5, 65], [5, 5]], np.float32), 0),
        ]
        assert overlap(predictor.predict(None, None, scribbles=strokes).binary) > 0.75

    def test_clicks_are_obeyed_and_negatives_alone_find_nothing(self, clean, name):
        predictor = load_baseline(name)
        predictor.set_image(clean)
        mask = predictor.predict([[33, 25], [60, 45]], [1, 0]).binary
        assert mask[25, 33]
        assert not mask[45, 60]
        assert not predictor.predict([[45, 35]], [0]).binary.any()

    @pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 2), (700, 3)])
    def test_images_of_any_shape(self, name, size):
        predictor = load_baseline(name)
        predictor.set_image(np.full((*size, 3), 127, np.uint8))
        last = [size[1] - 1, size[0] - 1]
        assert predictor.predict([last], [1]).binary[last[1], last[0]]
        assert predictor.predict([last, [0, 0]], [1, 0]).probability.shape == size


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_is_documented(name):
    page = Path(__file__).parents[3] / "docs" / "benchmarks.md"
    assert f"| `{name}` |" in page.read_text()


def test_large_images_are_worked_on_small_and_answered_in_full(clean):
    large = np.kron(clean, np.ones((5, 5, 1), np.uint8))
    target = np.kron(OBJECT, np.ones((5, 5), bool))
    for name in ("random-walker", "slic"):
        result = evaluate(load_baseline(name), Benchmark.of([(large, target)]))
        assert result.noc(0.90) <= 4


def test_wrong_use_is_explained(grabcut):
    with pytest.raises(PromptError, match="set_image"):
        OpenCVGrabCut().predict([[1, 1]], [1])
    with pytest.raises(PromptError, match="outside"):
        grabcut.predict([[1000, 1]], [1])
    with pytest.raises(ConfigError, match=r"'snakes'.*opencv-grabcut"):
        load_baseline("snakes")
