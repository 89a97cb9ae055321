"""Whatever bytes the files of a model or of a run have, they are read, or an error names the file."""

import json
import shutil
import zipfile

import numpy as np
import pytest
import torch
import transformers
from hypothesis import strategies as st

from clickgrain.errors import ClickgrainError, TrainingError, WeightsError
from clickgrain.features import HuggingFaceExtractor
from clickgrain.features.config import EncoderConfig
from clickgrain.models.config import GrainConfig
from clickgrain.models.onnx_export import export_onnx
from clickgrain.models.registry import build_model, load_click_model
from clickgrain.progress import Quiet
from clickgrain.segmenter import Segmenter
from clickgrain.training.config import LearnArgs
from clickgrain.training.prepare import load_objects, save_objects
from clickgrain.training.run_dir import MetricsLog, RunState, load_state_of, read_run, save_state, write_run
from clickgrain.weights import load_model, save_model
from tests.fuzz.hostile import assert_named, changed_bytes, changed_json

pytestmark = pytest.mark.timeout(0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    config = GrainConfig(EncoderConfig((4, 4, 6, 8, 8), (1, 1, 1, 1, 1)), (4, 4, 6, 8), long_side=64).to_json()
    torch.manual_seed(0)
    save_model(folder, config=config, tensors=build_model(config).state_dict(), half=True)
    return folder


@pytest.fixture
def copy(model, tmp_path):
    return shutil.copytree(model, tmp_path / "copy")


def test_tensors(search, model, copy):
    def check(content):
        (copy / "model.safetensors").write_bytes(content)
        assert_named("model.safetensors", lambda: load_model(copy), WeightsError)

    search(changed_bytes([(model / "model.safetensors").read_bytes()]), check)


def test_tensors_of_another_model(search, model, copy):
    """A header that says something else, with a right length."""
    content = (model / "model.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    header = dict(list(header.items())[:6])

    def check(changed):
        text = json.dumps(changed).encode("utf-8", "surrogatepass")
        (copy / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + body)
        assert_named("copy", lambda: load_click_model(copy), WeightsError)

    search(changed_json([header]), check)


def test_a_config(search, model, copy):
    good = json.loads((model / "config.json").read_bytes())

    def check(config):
        (copy / "config.json").write_text(json.dumps(config), "utf-8", "surrogatepass")
        assert_named("copy", lambda: Segmenter.load(copy), ClickgrainError)

    search(changed_json([good]), check)


def test_the_bytes_of_a_config(search, model, copy):
    def check(content):
        (copy / "config.json").write_bytes(content)
        assert_named("copy", lambda: load_click_model(copy), ClickgrainError)

    search(changed_bytes([(model / "config.json").read_bytes()]), check)


def test_the_state_of_a_run(search, tmp_path):
    weights = {"a": torch.arange(6.0), "b": torch.zeros(2, 3)}
    save_state(tmp_path, RunState(3, weights, weights, {"state": {}, "param_groups": []}, "f", 8, 1.5))
    path = tmp_path / "state.pt"

    def check(content):
        path.write_bytes(content)
        assert_named("state.pt", lambda: load_state_of(tmp_path, "f", Quiet()), TrainingError)

    search(changed_bytes([path.read_bytes()]), check)


def test_pickles_in_the_state_of_a_run(search, tmp_path):
    """Archives that are whole, with a pickle or a tensor that was changed."""
    weights = {"a": torch.arange(6.0), "b": torch.zeros(2, 3, dtype=torch.int64)}
    save_state(tmp_path, RunState(3, weights, weights, {"state": {0: weights}, "param_groups": [{"lr": 1.0}]}, "f"))
    path = tmp_path / "state.pt"
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}

    def check(drawn):
        name, content = drawn
        with zipfile.ZipFile(path, "w") as archive:
            for one, bytes_ in {**files, name: content}.items():
                archive.writestr(one, bytes_)
        assert_named("state.pt", lambda: load_state_of(tmp_path, "f", Quiet()), TrainingError)

    pickled = next(name for name in files if name.endswith("data.pkl"))
    names = st.sampled_from([pickled, pickled, *files])
    search(names.flatmap(lambda name: st.tuples(st.just(name), changed_bytes([files[name]]))), check)


def test_the_settings_of_a_run(search, tmp_path):
    args = LearnArgs(photos=tmp_path, out=tmp_path)
    write_run(args, 8, precision="float32", done=8, finished="x", pictures=3)
    path = tmp_path / "run.json"

    def check(content):
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode("utf-8", "replace"))
        assert_named(str(tmp_path), lambda: read_run(args), TrainingError)

    good = path.read_bytes()
    search(changed_bytes([good]) | changed_json([json.loads(good)]), check)


def test_metrics(search, tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = b'{"step": 1, "loss": 0.5}\n{"step": 1, "NoC85": 3.0}\n{"step": 2, "skipped": "loss nan"}\n'

    def check(content):
        path.write_bytes(content)
        log = MetricsLog(path)
        assert_named(str(path), lambda: log.rewind(2), TrainingError)
        assert all(f"{name} {value:.2f}" for name, value in log.validated.items())  # as it is told at the end

    values = st.lists(changed_json([[{"step": 1, "loss": 0.5}, {"step": 1, "NoC85": 3.0}]]), min_size=1, max_size=2)
    texts = values.map(lambda some: "\n".join(json.dumps(line) for one in some for line in one).encode())
    search(changed_bytes([lines]) | texts, check)


def test_objects_found_before(search, tmp_path):
    """A cache: what cannot be used is found again."""
    path = tmp_path / "objects.safetensors"
    save_objects(path, {"a.png:00000000": np.arange(9, dtype=np.uint8)})

    def check(content):
        path.write_bytes(content)
        assert isinstance(load_objects(path), dict)

    search(changed_bytes([path.read_bytes()]), check)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """A tiny published transformer."""
    folder = tmp_path_factory.mktemp("vit")
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, image_size=16, patch_size=8
    )
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        '{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}'
    )
    return folder


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_published_transformer(search, backbone, tmp_path, name):
    folder = shutil.copytree(backbone, tmp_path / "vit")
    good, image = (folder / name).read_bytes(), np.zeros((16, 24, 3), np.uint8)

    def check(content):
        content = content if isinstance(content, bytes) else json.dumps(content).encode("utf-8", "surrogatepass")
        (folder / name).write_bytes(content)
        assert_named(str(folder), lambda: HuggingFaceExtractor(folder)(image), ClickgrainError)

    files = changed_bytes([good])
    search(files if name.endswith("tensors") else files | changed_json([json.loads(good)]), check)


def test_a_config_of_a_model_for_onnx_runtime(search, model, tmp_path):
    folder = tmp_path / "copy"
    export_onnx(load_click_model(model), folder)
    good, image = json.loads((folder / "config.json").read_bytes()), np.zeros((24, 32, 3), np.uint8)

    def check(config):
        (folder / "config.json").write_text(json.dumps(config), "utf-8", "surrogatepass")

        def use():
            segmenter = Segmenter.load(folder, runtime="onnx")
            segmenter.set_image(image)
            segmenter.predict([[3, 3]], [1])
            return "copy"

        assert_named("", use, ClickgrainError)

    search(changed_json([good]), check)
