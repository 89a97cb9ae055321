import sys
from types import ModuleType

import pytest

from clickgrain.errors import ConfigError, WeightsError
from clickgrain.evaluation import Method, OpenCVGrabCut
from clickgrain.segmenter import Segmenter


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


def test_hashing_the_code_makes_nothing(counted):
    assert len(Method("python:counted_method:make").code) == 20
    assert counted.made == []


@pytest.mark.parametrize("name", ["python:no_such_module_here:x", "python:counted_method:nothing", "python:x"])
def test_a_wrong_import_path_is_explained(counted, name):
    with pytest.raises(ConfigError, match="python:"):
        _ = Method(name).code


def test_a_module_without_a_file_has_a_hash(monkeypatch):
    made = ModuleType("made_up")
    made.thing = OpenCVGrabCut()
    monkeypatch.setitem(sys.modules, "made_up", made)
    assert len(Method("python:made_up:thing").code) == 20


def test_identities():
    assert Method("opencv-grabcut", extractor="color-texture").identity == "opencv-grabcut"
    assert Method("tree", extractor="color-texture").identity == "tree[color-texture]"
    with pytest.raises(WeightsError, match="nowhere"):
        _ = Method("nowhere").identity
