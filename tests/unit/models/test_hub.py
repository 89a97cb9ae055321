"""Models go to folders and to Hugging Face and come back, without a network."""

from pathlib import Path

import huggingface_hub
import pytest
import torch

from clickgrain.errors import WeightsError
from clickgrain.features.config import EncoderConfig
from clickgrain.models.base import ClickModel
from clickgrain.models.config import GrainConfig
from clickgrain.models.grain import GrainModel
from clickgrain.models.paper import PaperModel
from clickgrain.models.registry import build_model
from clickgrain.segmenter import Segmenter
from clickgrain.weights import save_model

GRAIN = GrainConfig(EncoderConfig((4, 4, 6, 8, 8), (1, 1, 1, 1, 1)), (4, 4, 6, 8), long_side=64)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_model(GRAIN.to_json())


def same(a, b):
    return all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())


def test_what_is_saved_comes_back_with_its_card(model, tmp_path):
    model.card = "---\nlibrary_name: clickgrain\n---\n# Größe\n"
    model.save_pretrained(tmp_path, half=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    again = ClickModel.from_pretrained(tmp_path)
    assert type(again) is GrainModel
    assert (again.config, again.card, again.training) == (GRAIN, model.card, False)
    assert same(model, again)
    assert Segmenter.load(tmp_path).engine.network.config == GRAIN


def test_half_precision_is_half_the_size_and_no_card_none(model, tmp_path):
    sizes = []
    for half in (False, True):
        model.save_pretrained(tmp_path / str(half), half=half)
        sizes.append((tmp_path / str(half) / "model.safetensors").stat().st_size)
    assert sizes[1] < 0.7 * sizes[0]
    assert GrainModel.from_pretrained(tmp_path / "True").card is None


def test_another_kind_is_refused(model, tmp_path):
    model.save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="a GrainModel, not a PaperModel"):
        PaperModel.from_pretrained(tmp_path)


def test_a_renamed_layer_is_refused_unless_told_otherwise(model, tmp_path):
    tensors = dict(model.state_dict())
    first, second = [name for name, value in tensors.items() if value.is_floating_point()][:2]
    tensors["renamed"] = tensors.pop(first)
    tensors[second] = torch.zeros(3)
    save_model(tmp_path, config=GRAIN.to_json(), tensors=tensors)
    with pytest.raises(WeightsError, match="missing"):
        ClickModel.from_pretrained(tmp_path)
    loose = ClickModel.from_pretrained(tmp_path, strict=False).state_dict()
    kept = [name for name in tensors if name not in ("renamed", second)]
    assert all(torch.equal(loose[name], tensors[name]) for name in kept)


class Hub:
    """What huggingface_hub's `HfApi` does, on a folder."""

    def __init__(self, root):
        self.root, self.made = root, []

    def __call__(self, token=None):
        self.token = token
        return self

    def create_repo(self, repo_id, *, private, exist_ok):
        self.made.append((repo_id, private, exist_ok))

    def upload_folder(self, *, repo_id, folder_path, commit_message):
        target = self.root / repo_id
        target.mkdir(parents=True)
        for path in Path(folder_path).iterdir():
            (target / path.name).write_bytes(path.read_bytes())
        return f"https://huggingface.co/{repo_id}/commit/1"


def test_what_is_pushed_is_loaded_by_its_name(model, tmp_path, monkeypatch):
    hub = Hub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: str(hub.root / name))
    model.card = "# card"
    assert model.push_to_hub("user/name", private=True, token="secret").endswith("user/name/commit/1")
    assert (hub.made, hub.token) == ([("user/name", True, True)], "secret")
    again = ClickModel.from_pretrained("user/name", revision="main")
    assert again.card == "# card"
    assert all(torch.allclose(v, again.state_dict()[n], atol=1e-2) for n, v in model.state_dict().items())


def test_a_refusal_is_told_in_words(model, monkeypatch):
    def refuse(*_, **__):
        raise OSError("401 Unauthorized")

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", refuse)
    with pytest.raises(WeightsError, match=r"user/name: .*401 Unauthorized.*hf auth login"):
        model.push_to_hub("user/name")
