import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from clickgrain.errors import FeatureError, WeightsError
from clickgrain.features.checkpoint import (
    FAMILIES,
    load_backbone,
    read_config,
    read_normalization,
    weights_digest,
)
from clickgrain.features.huggingface import HuggingFaceExtractor


def rewrite(folder: Path, change: Any) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def reconfigure(folder: Path, **settings: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_missing_tensor_is_never_filled_with_random_numbers(tiny, kind):
    folder, _ = tiny(kind)
    lost = {"vit_mae": "vit.layernorm.weight", "dinov3_vit": "norm.weight"}.get(kind, "layernorm.weight")
    rewrite(folder, lambda tensors: tensors.pop(lost))
    with pytest.raises(WeightsError, match=r"1 missing \((layer)?norm.weight\)"):
        load_backbone(folder)


def test_unexpected_tensors_are_refused(tiny):
    folder, _ = tiny()
    rewrite(folder, lambda tensors: tensors.update(surprise=torch.zeros(1)))
    with pytest.raises(WeightsError, match=r"1 unexpected \(surprise\)"):
        load_backbone(folder)


@pytest.mark.parametrize("depth", [1, 3])
def test_a_config_of_another_depth_is_refused(tiny, depth):
    folder, _ = tiny()
    reconfigure(folder, num_hidden_layers=depth)
    with pytest.raises(WeightsError, match="do not belong together"):
        load_backbone(folder)


def test_a_config_of_another_width_is_refused(tiny):
    folder, _ = tiny()
    reconfigure(folder, hidden_size=32)
    with pytest.raises(WeightsError, match="cannot be loaded as ViTModel"):
        load_backbone(folder)


def test_heads_are_left_aside(tiny, tmp_path):
    _, model = tiny()
    pooled = transformers.ViTModel(model.config)
    pooled.load_state_dict(model.state_dict(), strict=False)
    pooled.save_pretrained(tmp_path / "pooled")
    assert "pooler.dense.weight" in load_file(tmp_path / "pooled/model.safetensors")
    loaded, _ = load_backbone(tmp_path / "pooled")
    assert weights_digest(loaded) == weights_digest(model)


def test_mae_loads_with_and_without_its_decoder(tiny, tmp_path):
    folder, model = tiny("vit_mae")
    model.vit.save_pretrained(tmp_path / "encoder")
    assert any(key.startswith("decoder.") for key in load_file(folder / "model.safetensors"))
    for source in (folder, tmp_path / "encoder"):
        assert weights_digest(load_backbone(source)[0]) == weights_digest(model.vit)


def test_the_layout_of_the_published_dino_weights_loads(tiny):
    """facebook/dino-vits8 holds a pytorch_model.bin with the key names of transformers 4."""
    folder, model = tiny()
    tensors = load_file(folder / "model.safetensors")
    assert "encoder.layer.0.attention.attention.query.weight" in tensors
    torch.save(tensors, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    loaded, _ = load_backbone(folder)
    assert weights_digest(loaded) == weights_digest(model)


def test_half_precision_checkpoints_load_in_float32(tiny, tmp_path):
    _, model = tiny("dinov3_vit")
    model.half().save_pretrained(tmp_path / "half")
    loaded, _ = load_backbone(tmp_path / "half")
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert not loaded.training


def test_the_digest_follows_the_values_alone(tiny):
    folder, model = tiny()
    digest = weights_digest(load_backbone(folder)[0])
    assert digest == weights_digest(model)
    model.layernorm.bias[0] += 1e-3
    assert digest != weights_digest(model)


@pytest.mark.parametrize("bars", [True, False])
def test_loading_is_silent_and_leaves_the_settings_of_transformers(tiny, capfd, bars, monkeypatch):
    from transformers.utils import logging

    monkeypatch.setattr(logging, "_tqdm_active", bars)
    folder, _ = tiny("vit_mae")
    level = logging.get_verbosity()
    capfd.readouterr()
    load_backbone(folder)
    assert capfd.readouterr() == ("", "")
    assert logging.is_progress_bar_enabled() == bars
    assert logging.get_verbosity() == level


def test_unsupported_models_are_named_with_those_that_work(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "swin"}')
    with pytest.raises(FeatureError, match=r"'swin'.*vit_mae.*dinov3_vit"):
        load_backbone(tmp_path)


@pytest.mark.parametrize("settings", [{"patch_size": [8, 16]}, {"num_channels": 1}])
def test_models_of_other_images_are_refused(tiny, settings):
    folder, _ = tiny()
    reconfigure(folder, **settings)
    with pytest.raises(FeatureError, match="square patches of RGB"):
        load_backbone(folder)


def test_a_transformers_without_the_model_says_so(tiny, monkeypatch):
    folder, _ = tiny("dinov3_vit")
    monkeypatch.setattr(transformers, "DINOv3ViTModel", None)
    with pytest.raises(FeatureError, match=r"no DINOv3ViTModel.*pip install -U transformers"):
        load_backbone(folder)


@pytest.mark.parametrize("content", ["{", "[]", '"vit"'])
def test_a_damaged_config_is_named(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(WeightsError, match=r"config.json.*download the model again"):
        read_config(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_truncated_weights_are_named(tiny, name):
    folder, _ = tiny()
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / name) if name.endswith("bin") else save_file(tensors, folder / name)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match="cannot be loaded as ViTModel"):
        load_backbone(folder)


def test_folders_without_a_model_say_what_is_missing(tiny, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="holds no config"):
        load_backbone(tmp_path / "empty")
    folder, _ = tiny()
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"none of model.safetensors.*color-texture"):
        load_backbone(folder)


@pytest.mark.parametrize("source", ["./missing", "/no/such/folder", "~/no such folder", "a/b/c"])
def test_a_path_that_is_no_folder_is_not_looked_up_on_the_hub(source):
    with pytest.raises(WeightsError, match="is not a folder"):
        load_backbone(source)


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as one download needs; answers for the ids below from a local folder."""

    folder: Path

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        _, model, *_, name = self.path.strip("/").split("/")
        path = self.folder / name
        status, code = {"gated": (403, "GatedRepo"), "tiny": (404, "EntryNotFound")}.get(
            model, (401, "RepoNotFound")
        )
        if model == "tiny" and path.is_file():
            status, code = 200, ""
        content = path.read_bytes() if status == 200 else b""
        self.send_response(status)
        headers = {"X-Error-Code": code, "X-Repo-Commit": "c" * 40, "ETag": f'"{name}"'}
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(tiny, tmp_path, monkeypatch) -> Iterator[Path]:
    """A hub of our own that serves org/tiny; yields the folder of that model."""
    folder, _ = tiny("dinov2")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("TinyHub", (Hub,), {"folder": folder}))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(
        huggingface_hub.constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        f"http://127.0.0.1:{server.server_port}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    yield folder
    server.shutdown()
    server.server_close()


def test_an_id_is_downloaded_once_and_then_works_offline(hub, monkeypatch):
    expected = weights_digest(load_backbone(hub)[0])
    assert weights_digest(load_backbone("org/tiny")[0]) == expected
    shutil.rmtree(hub)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert weights_digest(load_backbone("org/tiny")[0]) == expected


def test_sharded_weights_are_downloaded_whole(hub):
    expected = weights_digest(load_backbone(hub)[0])
    transformers.Dinov2Model.from_pretrained(hub).save_pretrained(hub, max_shard_size="4KB")
    (hub / "model.safetensors").unlink(missing_ok=True)
    assert len(list(hub.glob("model-*.safetensors"))) > 1
    assert weights_digest(load_backbone("org/tiny")[0]) == expected


def test_a_wrong_id_says_to_check_the_spelling(hub):
    for source in ("org/tinny", "not an id!"):
        with pytest.raises(WeightsError, match=rf"{source}.*check the spelling"):
            load_backbone(source)


def test_a_gated_model_says_how_to_get_access(hub):
    with pytest.raises(WeightsError, match=r"org/gated.*licence.*hf auth login"):
        load_backbone("org/gated")


def test_without_a_network_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match=r"out of reach.*another machine.*color-texture"):
        load_backbone("facebook/dino-vits8")


ODD: dict[str, Any] = {
    "null": None,
    "true": True,
    "text": "seven",
    "list": [[]],
    "object": {"a": 1},
    "negative": -3,
    "zero": 0,
    "half": 0.5,
    "long": 10**300,
    "large": 60_000,
    "infinite": float("inf"),
    "not a number": float("nan"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("kind", FAMILIES)
def test_odd_values_are_messages_or_change_nothing(tiny, kind, odd):
    """No traceback, and never other features than those of the weights."""
    folder, _ = tiny(kind)
    original = json.loads((folder / "config.json").read_text())
    expected = weights_digest(load_backbone(folder)[0])
    image = np.zeros((24, 24, 3), np.uint8)
    for key in original.keys() - {"architectures", "transformers_version", "dtype"}:
        (folder / "config.json").write_text(json.dumps({**original, key: ODD[odd]}))
        message, digest = "", expected
        try:
            extract = HuggingFaceExtractor(folder)
            extract(image)
            digest = weights_digest(extract._model)
        except (FeatureError, WeightsError) as error:
            message = str(error)
        assert (digest, len(message) < 3000) == (expected, True), key


@pytest.mark.parametrize("odd", [name for name in ODD if name not in ("true", "half", "large")])
@pytest.mark.parametrize("key", ["image_mean", "image_std"])
def test_odd_normalizations_are_messages(tiny, key, odd):
    folder, _ = tiny()
    values = [[ODD[odd]] * 3, [0.5, 0.5], ODD[odd] or "none"]
    if key == "image_mean" and odd in ("zero", "negative"):
        values = values[1:]
    for value in values:
        (folder / "preprocessor_config.json").write_text(json.dumps({key: value}))
        with pytest.raises(WeightsError, match=f"{key}.* not three numbers each"):
            read_normalization(folder)


@pytest.mark.parametrize("weight_map", [None, [], {"a": 3}, {"a": None}])
def test_an_odd_list_of_shards_is_a_message(tiny, weight_map):
    folder, _ = tiny()
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(WeightsError, match="weight_map is"):
        load_backbone(folder)


@pytest.mark.parametrize("name", ["~no-such-user/x", "x" * 5000, "a\0b"])
def test_odd_names_of_models_are_messages(name):
    with pytest.raises(WeightsError):
        read_config(name)


def test_nested_without_end_is_a_message(tiny):
    folder, _ = tiny()
    (folder / "config.json").write_text("[" * 200_000)
    with pytest.raises(WeightsError, match="cannot be read as JSON"):
        read_config(folder)
