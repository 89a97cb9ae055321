import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from clickgrain.errors import ConfigError, PromptError
from clickgrain.evaluation import Benchmark, Method, evaluate, load_baseline
from clickgrain.evaluation.baselines import OnnxModel, is_baseline
from clickgrain.types import Predictor, Scribble

SIZE = (20, 30)
IMAGE = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
FREE = {"image": [1, 3, "h", "w"], "points": [1, "n", 3]}


class Session:
    """Stands for `onnxruntime.InferenceSession`: remembers what it is fed, answers logits of the image's size."""

    shapes = FREE
    output = "logits"
    answer = None

    def __init__(self, path, options, providers):
        if Path(path).read_text() == "damaged":
            raise RuntimeError("bad\nprotobuf")
        self.path, self.threads, self.fed = path, options.intra_op_num_threads, []
        type(self).last = self

    def get_inputs(self):
        return [SimpleNamespace(name=name, shape=shape) for name, shape in self.shapes.items()]

    def get_outputs(self):
        return [SimpleNamespace(name=self.output), SimpleNamespace(name="else")]

    def run(self, names, feed):
        assert names == [self.output]
        self.fed.append(feed)
        if self.answer is not None:
            return [self.answer]
        return [np.full((1, 1, *feed["image"].shape[2:]), -2.0, np.float32)]


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Make an `OnnxModel` whose network has these inputs and answers so."""
    runtime = ModuleType("onnxruntime")
    runtime.SessionOptions = lambda: SimpleNamespace(add_session_config_entry=lambda name, value: None)
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)

    def make(shapes=FREE, output="logits", answer=None, content="network"):
        path = tmp_path / "net.onnx"
        path.write_text(content)
        runtime.InferenceSession = type("S", (Session,), {"shapes": shapes, "output": output, "answer": answer})
        made = OnnxModel(path)
        made.set_image(IMAGE)
        return made, runtime.InferenceSession.last

    return make


def test_what_the_network_is_fed(model):
    predictor, session = model()
    mask = predictor.predict([[4, 5], [10, 12], [7, 8]], [1, 0, 1])
    (feed,) = session.fed
    assert set(feed) == {"image", "points"}
    assert feed["image"].shape == (1, 3, *SIZE)
    assert feed["image"][0, :, 3, 4] == pytest.approx(IMAGE[3, 4] / 255)
    assert feed["points"].dtype == np.float32
    assert feed["points"].tolist() == [[[5, 4, 0], [8, 7, 2], [12, 10, 1], [-1, -1, -1]]]
    assert mask.probability == pytest.approx(np.full(SIZE, 1 / (1 + np.exp(2))))


def test_a_fixed_size_scales_image_clicks_and_answer(model):
    predictor, session = model({"image": [1, 3, 40, 30], "coords": [1, 4, 3], "prev_mask": [1, 1, 40, 30]})
    previous = np.zeros(SIZE, np.float32)
    previous[:, :15] = 1
    mask = predictor.predict([[4, 5]], [1], previous=previous)
    (feed,) = session.fed
    assert feed["image"].shape == (1, 3, 40, 30)
    assert feed["coords"].tolist() == [[[10.5, 4, 0], [-1, -1, -1], [-1, -1, -1], [-1, -1, -1]]]
    assert feed["prev_mask"].shape == (1, 1, 40, 30)
    assert feed["prev_mask"][0, 0, :, :15].min() == 1
    assert mask.probability.shape == SIZE
    with pytest.raises(PromptError, match="3 clicks of one kind, it takes 2"):
        predictor.predict([[1, 1], [2, 2], [3, 3]], [0, 0, 0])


def test_a_fourth_channel_is_the_previous_probability(model):
    predictor, session = model({"image": [1, 4, "h", "w"], "points": [1, "n", 3]})
    first = predictor.predict([[4, 5]], [1])
    predictor.predict([[4, 5], [1, 1]], [1, 0], previous=first)
    assert session.fed[0]["image"][0, 3].max() == 0
    assert session.fed[1]["image"][0, 3] == pytest.approx(first.probability)


def test_probabilities_are_taken_as_they_are(model):
    predictor, _ = model(output="probability", answer=np.full((1, 1, 5, 5), 0.25, np.float32))
    assert predictor.predict([[4, 5]], [1]).probability == pytest.approx(np.full(SIZE, 0.25))


def test_what_it_refuses(model):
    predictor, _ = model()
    with pytest.raises(PromptError, match="clicks only"):
        predictor.predict([[1, 1]], [1], box=(0, 0, 5, 5))
    with pytest.raises(PromptError, match="clicks only"):
        predictor.predict(None, None, scribbles=[Scribble(np.ones((2, 2), np.float32))])
    with pytest.raises(PromptError, match=r"answer of shape \(1, 2, 4, 4\)"):
        model(answer=np.zeros((1, 2, 4, 4), np.float32))[0].predict([[1, 1]], [1])
    with pytest.raises(PromptError, match="set_image"):
        OnnxModel(predictor.name.removeprefix("onnx:")).predict([[1, 1]], [1])


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"image": [1, 3, "h", "w"]}, "its inputs are image; needed"),
        ({**FREE, "text": [1]}, "its inputs are image, points, text; needed"),
        ({**FREE, "image": [1, 1, "h", "w"]}, "have the shapes"),
        ({**FREE, "points": [1, 3]}, "have the shapes"),
    ],
)
def test_another_contract_is_explained(model, shapes, message):
    with pytest.raises(ConfigError, match=message):
        model(shapes)


def test_a_damaged_file_no_file_and_no_runtime(model, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"cannot be loaded \(bad protobuf\); export it again"):
        model(content="damaged")
    with pytest.raises(ConfigError, match="no such file"):
        load_baseline("onnx:nowhere.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"pip install 'clickgrain\[onnx\]'"):
        load_baseline(f"onnx:{tmp_path / 'net.onnx'}")


def test_its_identity_follows_its_content(tmp_path):
    path = tmp_path / "net.onnx"
    identities = set()
    for content in ("a", "b"):
        path.write_text(content)
        identities.add(Method(f"onnx:{path}").identity)
    assert len(identities) == 2
    assert is_baseline(f"onnx:{path}")
    assert all(identity.startswith(f"onnx:{path}@") for identity in identities)


def test_a_real_network_is_judged(tmp_path):
    """Exported by onnx, answered by ONNX Runtime: bright pixels, and the previous mask, are object."""
    onnx = pytest.importorskip("onnx", reason="an extra")
    pytest.importorskip("onnxruntime", reason="an extra")
    from onnx import TensorProto, helper

    def value(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    nodes = [
        helper.make_node("ReduceMean", ["image"], ["bright"], axes=[1], keepdims=1),
        helper.make_node("ReduceMax", ["points"], ["some"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["some", "zero"], ["nothing"]),
        helper.make_node("Sub", ["bright", "half"], ["centred"]),
        helper.make_node("Add", ["centred", "nothing"], ["moved"]),
        helper.make_node("Add", ["moved", "prev_mask"], ["logits"]),
    ]
    constants = [helper.make_tensor(name, TensorProto.FLOAT, [], [v]) for name, v in (("zero", 0), ("half", 0.5))]
    inputs = [
        value("image", [1, 3, "h", "w"]),
        value("points", [1, "n", 3]),
        value("prev_mask", [1, 1, "h", "w"]),
    ]
    graph = helper.make_graph(nodes, "click", inputs, [value("logits", [1, 1, "h", "w"])], constants)
    opset = helper.make_opsetid("", 13)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), tmp_path / "net.onnx")
    predictor = load_baseline(f"onnx:{tmp_path / 'net.onnx'}")
    assert isinstance(predictor, Predictor)
    target = np.zeros(SIZE, bool)
    target[5:15, 6:20] = True
    image = np.where(target[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=2)
    (row,) = evaluate(predictor, Benchmark.of([(image, target)])).rows
    assert row.error is None
    assert row.ious[0] == 1.0
