import json
import os
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import errors as hub_errors
from torch import nn

import clickgrain
from clickgrain import weights
from clickgrain.errors import WeightsError
from clickgrain.weights import hash_tensors, load_model, load_state, save_model

CONFIG = {"kind": "grain", "width": 16}


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))


def save(folder, seed=0, **options):
    save_model(folder, config=CONFIG, tensors=network(seed).state_dict(), **options)
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_model_comes_back_exactly(tmp_path):
    config, tensors = load_model(save(tmp_path / "new" / "model"))
    assert config == {**CONFIG, "format": 1, "clickgrain": clickgrain.__version__}
    wanted = network().state_dict()
    assert tensors.keys() == wanted.keys()
    for key, value in wanted.items():
        assert tensors[key].dtype == value.dtype
        assert torch.equal(tensors[key], value)
    assert names(tmp_path / "new" / "model") == ["config.json", "model.safetensors"]


def test_half_precision_takes_half_the_room_and_stays_finite(tmp_path):
    tensors = {"a": torch.linspace(-1, 1, 4096), "b": torch.tensor([1e6, -1e6]), "n": torch.tensor(7)}
    save_model(tmp_path / "full", config=CONFIG, tensors=tensors)
    save_model(tmp_path / "half", config=CONFIG, tensors=tensors, half=True)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.55 * sizes[0]
    _, read = load_model(tmp_path / "half")
    assert read["a"].dtype == torch.float32
    assert torch.allclose(read["a"], tensors["a"], atol=5e-4)
    assert read["b"].tolist() == [65504, -65504]
    assert read["n"].item() == 7


def test_tensors_that_share_memory_or_are_not_contiguous(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    save_model(tmp_path, config=CONFIG, tensors={"a": base, "b": base, "c": base.T})
    _, read = load_model(tmp_path)
    assert torch.equal(read["c"], base.T)
    assert torch.equal(read["a"], read["b"])


def test_extra_files_stand_beside(tmp_path):
    save(tmp_path, extra={"README.md": b"# card"})
    assert (tmp_path / "README.md").read_bytes() == b"# card"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, 'has no "kind"'),
        ({"kind": "grain", "a": object()}, "not JSON"),
        ({"kind": "x", "a": np.nan}, "not JSON"),
    ],
)
def test_configs_that_cannot_be_saved(tmp_path, config, message):
    with pytest.raises(WeightsError, match=message):
        save_model(tmp_path / "model", config=config, tensors={})
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("failing_call", [1, 2, 3])
def test_a_full_disk_keeps_the_previous_model_whole(tmp_path, monkeypatch, failing_call):
    before = load_model(save(tmp_path, seed=0, extra={"card.md": b"old"}))
    plain, calls = os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) == failing_call:
            raise OSError(28, "No space left on device")
        plain(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WeightsError, match=r"cannot be written \(No space left on device\); free some space"):
        save(tmp_path, seed=1, extra={"card.md": b"new"})
    assert len(calls) == failing_call
    after = load_model(tmp_path)
    assert after[0] == before[0]
    assert all(torch.equal(after[1][key], value) for key, value in before[1].items())
    assert names(tmp_path) == ["card.md", "config.json", "model.safetensors"]
    assert (tmp_path / "card.md").read_bytes() == b"old"


def test_a_read_only_folder(tmp_path, monkeypatch):
    save(tmp_path)

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(
        WeightsError, match=r"\(Permission denied\); check its permissions, or choose another folder"
    ):
        save(tmp_path, seed=1)


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "model").touch()
    with pytest.raises(WeightsError, match="model: the model cannot be written"):
        save(tmp_path / "model")
    with pytest.raises(WeightsError, match="a file, not a model; name the folder"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path, name):
    (save(tmp_path) / name).unlink()
    with pytest.raises(WeightsError, match=rf"{name}: no such file"):
        load_model(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x10\0\0\0\0\0\0\0{", b"nonsense" * 9])
def test_damaged_tensors(tmp_path, content):
    (save(tmp_path) / "model.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=r"model\.safetensors: damaged or truncated .*; copy or download"):
        load_model(tmp_path)


def test_truncated_tensors(tmp_path):
    path = save(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(WeightsError, match="damaged or truncated"):
        load_model(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\xff"])
def test_a_damaged_config(tmp_path, content):
    (save(tmp_path) / "config.json").write_bytes(content)
    with pytest.raises(WeightsError, match=r"config\.json: not valid JSON"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"format": 2, "kind": "grain"}, "format 2, .* update clickgrain"),
        ({"format": 0, "kind": "grain"}, '"format" is 0, not 1'),
        ({"kind": "grain"}, '"format" is None'),
        ({"format": 1}, 'there is no "kind"'),
        ([1], '"format" is None'),
    ],
)
def test_other_versions_are_refused(tmp_path, config, message):
    (save(tmp_path) / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=message):
        load_model(tmp_path)


def test_default_names_what_works_until_weights_ship(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "__file__", str(tmp_path / "weights.py"))
    with pytest.raises(WeightsError, match=r'"tree".*"color-texture"'):
        load_model("default")
    save(tmp_path / "data" / "default")
    assert load_model("default")[0]["kind"] == "grain"


def test_a_hub_id_is_fetched(tmp_path, monkeypatch):
    asked = {}

    def snapshot(repo_id, **options):
        asked.update(options, repo_id=repo_id)
        return str(save(tmp_path / "snapshot"))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert load_model("some-user/grain.small", revision="v1")[0]["kind"] == "grain"
    assert asked == {
        "repo_id": "some-user/grain.small",
        "revision": "v1",
        "allow_patterns": ["config.json", "model.safetensors", "README.md"],
    }


def test_offline_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match=r"user/grain: no such folder, and Hugging Face gave nothing .*connect"):
        load_model("user/grain")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (hub_errors.RepositoryNotFoundError, "no such model on Hugging Face; check the spelling, or set HF_TOKEN"),
        (hub_errors.GatedRepoError, "set HF_TOKEN"),
        (hub_errors.RevisionNotFoundError, "has no revision 'v9'"),
    ],
)
def test_wrong_hub_ids_say_what_to_do(monkeypatch, kind, message):
    def refuse(*_args, **_kwargs):
        raise kind("404", response=SimpleNamespace(headers={}, request=None))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(WeightsError, match=message):
        load_model("user/grain", revision="v9")


@pytest.mark.parametrize("source", ["nowhere", "a/b/c", "/no/such/folder", "../up", "user/", Path("x y/z")])
def test_what_is_neither_folder_nor_id_never_asks_the_network(monkeypatch, source):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_a, **_k: pytest.fail("asked the network"))
    with pytest.raises(WeightsError, match="no such folder, and not a Hugging Face id"):
        load_model(source)


def test_load_state_fills_the_module():
    module = load_state(lambda: network(1), network(0).state_dict())
    for key, value in network(0).state_dict().items():
        assert torch.equal(module.state_dict()[key], value)


def test_load_state_names_the_first_of_what_does_not_fit():
    module, tensors = network(1), network(0).state_dict()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    del tensors["0.bias"]
    tensors |= {f"extra.{index}": torch.zeros(1) for index in range(6)}
    tensors["2.weight"] = torch.zeros(2, 5)
    with pytest.raises(WeightsError) as caught:
        load_state(lambda: module, tensors)
    message = str(caught.value)
    assert "1 missing: 0.bias" in message
    assert "6 unknown: extra.0, extra.1, extra.2, extra.3, ..." in message
    assert "1 of another shape: 2.weight (2, 5) instead of (2, 4)" in message
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_hashes_of_tensors_see_names_types_shapes_and_values():
    base = {"a": torch.arange(4.0), "b": torch.tensor(1)}
    same = hash_tensors(base)
    assert hash_tensors(dict(reversed(base.items()))) == same
    assert hash_tensors({**base, "a": torch.arange(8.0)[::2] / 2}) == same
    others = [
        {"c": base["a"], "b": base["b"]},
        {**base, "a": base["a"].reshape(2, 2)},
        {**base, "a": base["a"].double()},
        {**base, "a": base["a"] + 1e-6},
        {**base, "b": torch.tensor(True)},
    ]
    assert len({same, *map(hash_tensors, others)}) == 6
    assert hash_tensors({"h": torch.zeros(3, dtype=torch.bfloat16)}) != hash_tensors({})
