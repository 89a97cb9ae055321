import sys
from types import ModuleType

import pytest
import torch

from clickgrain.errors import ConfigError, WeightsError
from clickgrain.evaluation import BASELINES, Method, OpenCVGrabCut
from clickgrain.segmenter import Segmenter
from clickgrain.weights import save_model


@pytest.fixture
def counted(tmp_path, monkeypatch):
    (tmp_path / "counted_method.py").write_text(
        "from clickgrain.evaluation import OpenCVGrabCut\nmade = []\n"
        "def make():\n    made.append(1)\n    return OpenCVGrabCut()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import counted_method

    yield counted_method
    sys.modules.pop("counted_method", None)


def test_calling_it_makes_the_predictor(counted):
    assert isinstance(Method("opencv-grabcut")(), OpenCVGrabCut)
    assert isinstance(Method("tree", extractor="color-texture")(), Segmenter)
    assert isinstance(Method("python:counted_method:make")(), OpenCVGrabCut)


def test_another_version_of_a_module_of_ones_own_has_another_identity(counted, tmp_path, monkeypatch):
    method = Method("python:counted_method:make")
    first = method.identity
    assert first.startswith("python:counted_method:make@")
    assert counted.made == []
    (tmp_path / "counted_method.py").write_text("def make():\n    return 1\n")
    assert method.identity != first


@pytest.mark.parametrize("name", ["python:no_such_module_here:x", "python:counted_method:nothing", "python:x"])
def test_a_wrong_import_path_is_explained(counted, name):
    with pytest.raises(ConfigError, match="python:"):
        _ = Method(name).identity


def test_a_module_without_a_file_goes_by_its_name(monkeypatch):
    made = ModuleType("made_up")
    made.thing = OpenCVGrabCut()
    monkeypatch.setitem(sys.modules, "made_up", made)
    assert Method("python:made_up:thing").identity == "python:made_up:thing"


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_go_by_their_names(name):
    assert Method(name).identity == name
    assert Method(name)().name == BASELINES[name]().name == name


def test_a_new_checkpoint_in_the_same_folder_has_another_identity(tmp_path):
    identities = set()
    for value in (0.0, 1.0):
        save_model(tmp_path, config={"kind": "grain"}, tensors={"weight": torch.full((2,), value)})
        identity = Method(f"{tmp_path}").identity
        assert identity.startswith(f"{tmp_path}@")
        identities.add(identity)
    assert len(identities) == 2


def test_identities():
    assert Method("opencv-grabcut", extractor="color-texture").identity == "opencv-grabcut"
    assert Method("tree", extractor="color-texture").identity == "tree[color-texture]"
    with pytest.raises(WeightsError, match="nowhere"):
        _ = Method("nowhere").identity


def test_a_model_without_the_cut_is_another_method():
    assert Method("tree", cut=False).identity == "tree[no cut]"
    assert Method("tree", "cpu", "color-texture", cut=False).identity == "tree[color-texture, no cut]"
    assert Method("opencv-grabcut", cut=False).identity == "opencv-grabcut"
    assert [Method("tree", cut=cut)().cut is None for cut in (True, False)] == [False, True]
