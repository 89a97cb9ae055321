import numpy as np
import pytest

from clickgrain.errors import ConfigError, PromptError
from clickgrain.evaluation import Benchmark, OpenCVGrabCut, evaluate, load_baseline
from clickgrain.types import Predictor, Scribble

SIZE = (72, 96)
OBJECT = np.zeros(SIZE, bool)
OBJECT[20:50, 30:70] = True


@pytest.fixture(scope="module")
def photo():
    """A warm noisy rectangle on cold noise."""
    rng = np.random.default_rng(0)
    colour = np.where(OBJECT[..., None], (200, 90, 40), (40, 80, 160))
    return np.clip(colour + rng.normal(0, 12, (*SIZE, 3)), 0, 255).astype(np.uint8)


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
    monkeypatch.setattr("clickgrain.evaluation.baselines.cv2.setRNGSeed", seen.append)
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


def test_wrong_use_is_explained(grabcut):
    with pytest.raises(PromptError, match="set_image"):
        OpenCVGrabCut().predict([[1, 1]], [1])
    with pytest.raises(PromptError, match="outside"):
        grabcut.predict([[1000, 1]], [1])
    with pytest.raises(ConfigError, match=r"'snakes'.*opencv-grabcut"):
        load_baseline("snakes")
