"""What the wheel says about itself."""

import ast
import importlib
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from clickgrain.annotate.config import AnnotateArgs
from clickgrain.commands import parsing
from clickgrain.errors import ConfigError, FeatureError
from clickgrain.features import checkpoint

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CALLED = {"opencv-python-headless": "cv2", "pillow": "PIL", "pyyaml": "yaml", "scikit-image": "skimage"}
OPTIONAL = {
    "aiohttp": "remote",
    "ray": "ray",
    "transformers": "hf",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "pillow_heif": "heif",
    "cvat_sdk": "cvat",
    "napari": "napari",
    "magicgui": "napari",
}


def declared(requirements):
    names = [re.match(r"[\w-]+", requirement)[0] for requirement in requirements]
    return {CALLED.get(name, name.replace("-", "_")) for name in names}


def imported():
    found = {}
    for path in (ROOT / "src" / "clickgrain").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            found.update({name.partition(".")[0]: path for name in names})
    return {name: path for name, path in found.items() if name not in sys.stdlib_module_names | {"clickgrain"}}


def test_everything_imported_is_declared():
    base, extras = declared(PROJECT["dependencies"]), PROJECT["optional-dependencies"]
    for name, path in imported().items():
        where = declared(extras[OPTIONAL[name]]) if name in OPTIONAL else base
        assert name in where, f"{path} imports {name}, which pyproject.toml does not declare"


def test_everything_declared_is_imported():
    assert declared(PROJECT["dependencies"]) <= set(imported())


def test_extras_are_not_in_the_base_and_tests_have_them_all():
    assert not declared(PROJECT["dependencies"]) & set(OPTIONAL)
    for extra in ("hf", "onnx", "cvat", "heif"):
        assert declared(PROJECT["optional-dependencies"][extra]) <= declared(
            PROJECT["optional-dependencies"]["dev"]
        )


def test_a_missing_transformers_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(FeatureError, match=r"transformers is not installed.*pip install 'clickgrain\[hf\]'"):
        checkpoint.load_backbone(tmp_path)


def test_a_missing_napari_names_the_extra(monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("napari.", "clickgrain.napari"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "napari", None)
    with pytest.raises(ConfigError, match=r"napari is not installed; pip install 'clickgrain\[napari\]'"):
        importlib.import_module("clickgrain.napari.widget")


def test_the_container_copies_what_is_there_and_starts_a_command_that_asks_for_a_token():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for line in re.findall(r"^COPY (?!--)(.*)$", text, re.M):
        for name in line.split()[:-1]:
            assert (ROOT / name).exists()
            assert f"!{name}" in kept
    program, command, *rest = json.loads(re.search(r"^ENTRYPOINT (.*)$", text, re.M)[1])
    assert program in PROJECT["scripts"]
    assert command == "annotate"
    stop, args = parsing.parse(AnnotateArgs, rest, prog="clickgrain")
    assert stop is None
    assert args.host == "0.0.0.0"  # any but this machine's own asks for the token (test_security.py)
