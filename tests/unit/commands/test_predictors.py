import pytest
import torch

from clickgrain.commands.predictors import check_device, find_predictor
from clickgrain.errors import ConfigError, WeightsError
from clickgrain.evaluation import BASELINES
from clickgrain.segmenter import Segmenter
from clickgrain.weights import save_model


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_go_by_their_names(name):
    candidate = find_predictor(name)
    assert candidate.identity == name
    assert isinstance(candidate.load(), BASELINES[name])


def test_tree_needs_no_weights():
    candidate = find_predictor("tree", extractor="color-texture")
    assert (candidate.name, candidate.identity) == ("tree", "tree[color-texture]")
    assert isinstance(candidate.load(), Segmenter)


def test_a_new_checkpoint_in_the_same_folder_has_another_identity(tmp_path):
    identities = set()
    for value in (0.0, 1.0):
        save_model(tmp_path, config={"kind": "grain"}, tensors={"weight": torch.full((2,), value)})
        candidate = find_predictor(f"{tmp_path}")
        assert candidate.identity.startswith(f"{tmp_path}@")
        identities.add(candidate.identity)
    assert len(identities) == 2


def test_an_unknown_model_is_found_before_any_work():
    with pytest.raises(WeightsError, match="nowhere"):
        find_predictor("nowhere")


@pytest.mark.parametrize("device", ["cpu", "cpu:0", "meta"])
def test_devices_that_are_there(device):
    assert check_device(device) == device


@pytest.mark.parametrize("device", ["gpu", "", "cuda:x"])
def test_what_is_no_device(device):
    with pytest.raises(ConfigError, match="not a torch device"):
        check_device(device)


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert check_device("cuda") == "cuda"
    with pytest.raises(ConfigError, match="torch finds 1 "):
        check_device("cuda:1")
