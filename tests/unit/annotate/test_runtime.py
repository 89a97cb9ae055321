"""`annotate --runtime onnx`: the page answers clicks without torch."""

import subprocess
import sys

import pytest
from PIL import Image
from skimage import data

from clickgrain.annotate.config import AnnotateArgs
from clickgrain.annotate.models import describe_model
from clickgrain.errors import ConfigError, WeightsError
from clickgrain.models.onnx_export import export_onnx
from clickgrain.models.registry import load_click_model


@pytest.fixture(scope="module")
def exported(tmp_path_factory, traced_once):
    folder = tmp_path_factory.mktemp("exported")
    export_onnx(load_click_model("default"), folder)
    return folder


def test_an_object_is_clicked_without_torch(exported, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(data.chelsea()[:150, :200]).save(photos / "cat.png")
    code = f"""
import sys
from pathlib import Path
from clickgrain.annotate.project import Project
project = Project(Path({str(photos)!r}), model={str(exported)!r}, runtime="onnx")
image = project.gallery.first()
scene = project.scene(image)
mask = project.maker().segmenter.predict([[60, 60]], [1], encoded=scene.encoded)
print(project.model.kind, mask.binary.any(), "torch" in sys.modules)
project.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "grain, ONNX True False\n", done.stderr


def test_an_exported_model_has_a_hash_of_both_graphs(exported, tmp_path):
    info = describe_model(str(exported))
    assert (info.kind, info.name) == ("grain, ONNX", exported.name)
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in exported.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert describe_model(str(copy)).hash == info.hash
    (copy / "encoder.onnx").write_bytes(b"other")
    assert describe_model(str(copy)).hash != info.hash
    (copy / "decoder.onnx").unlink()
    with pytest.raises(WeightsError, match="decoder"):
        describe_model(str(copy))


def test_onnx_on_a_gpu_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cpu only"):
        AnnotateArgs(tmp_path, runtime="onnx", device="cuda")
