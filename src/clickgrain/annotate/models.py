"""Models by name: what a source is, which one to start with, and loading it."""

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

import clickgrain
from clickgrain.errors import WeightsError
from clickgrain.features import load_extractor
from clickgrain.files import hash_bytes, hash_file
from clickgrain.models.onnx_runtime import DECODER, ENCODER, is_onnx
from clickgrain.segmenter import Runtime, Segmenter

TREE = "tree"
FOREIGN = ("python:", "onnx:")
_TOLD: set[str] = set()
"""Models that the user of this process named; what a project file names may be anyone's."""
DEFAULT = Path(clickgrain.__file__).parent / "data" / "default"
CONFIG, TENSORS, FORMAT = "config.json", "model.safetensors", 1
"""As in `clickgrain.weights`, which loads torch."""
NOTICE = (
    "No trained model ships with this version, so clicks are answered by the tree of regions alone."
    " Learn makes a model from this folder."
)


@dataclass(frozen=True)
class ModelInfo:
    """A model by its source."""

    id: str  # of the project's list: "tree" or the hash
    name: str
    kind: str
    hash: str  # 20 hex digits over weights and config
    source: str  # what `Segmenter.load` takes


def describe_model(source: str) -> ModelInfo:
    """What a source is, without keeping it in memory. Raises WeightsError: there is no such model."""
    if source.startswith(FOREIGN):
        _check_told(source)
        from clickgrain.evaluation.methods import Method

        stamp = hash_bytes(f"{source}{Method(source).stamp}".encode())
        kind, _, rest = source.partition(":")
        return ModelInfo(stamp, rest.split(",")[-1].rpartition("/")[2], kind, stamp, source)
    if source == TREE:
        stamp = hash_bytes(f"tree {load_extractor('color-texture').name} {clickgrain.__version__}".encode())
        return ModelInfo(TREE, "tree mode", TREE, stamp, TREE)
    folder, kind = _glance(source) or (None, "")
    if folder is None:
        from clickgrain.weights import find_model, load_model

        folder = find_model(source)
        if is_onnx(folder):
            reason = f"{CONFIG} or {DECODER} is missing; write it again with clickgrain export-model"
            raise WeightsError(f"{folder}: {reason}")
        kind = str(load_model(folder)[0]["kind"])
    weights = [folder / TENSORS] if (folder / TENSORS).is_file() else [folder / ENCODER, folder / DECODER]
    stamp = hash_bytes(" ".join(hash_file(file) for file in (folder / CONFIG, *weights)).encode())
    name = source if source == "default" or "/" not in source else Path(source).name
    return ModelInfo(stamp, name, kind, stamp, source)


def model_folder(source: str) -> Path:
    """Where the files of a local model are, if there are any."""
    return DEFAULT if source == "default" else Path(source).expanduser()


def is_labelled(source: str) -> bool:
    """Whether a model was trained on masks of people, as its config says."""
    try:
        return json.loads((model_folder(source) / CONFIG).read_bytes()).get("labelled") is True
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def _check_told(source: str) -> None:
    """Never run code because a project file says so.

    Raises WeightsError: an import path that the user did not name.
    """
    if source.startswith("python:") and source not in _TOLD:
        raise WeightsError(f"{source}: code runs only if you name it yourself; give --model {source}")


def _glance(source: str) -> tuple[Path, str] | None:
    """(folder, kind) of a local model whose files are complete; needs no torch."""
    folder = model_folder(source)
    try:
        config = json.loads((folder / CONFIG).read_bytes())
        if is_onnx(folder) and (folder / DECODER).is_file():
            return (folder, "grain, ONNX") if config["format"] == FORMAT else None
        with safe_open(folder / TENSORS, framework="numpy"):  # checks its header and its length
            return (folder, str(config["kind"])) if config["format"] == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError):
        return None


def choose_model(wanted: str | None) -> tuple[str, str | None]:
    """(source, notice): what was asked for, else the model in the package, else tree mode with a notice.

    Raises WeightsError: what was asked for cannot be found.
    """
    if wanted is not None:
        _TOLD.add(wanted)
        describe_model(wanted)
        return wanted, None
    return ("default", None) if (DEFAULT / CONFIG).is_file() else (TREE, NOTICE)


def load_segmenter(source: str, device: str, runtime: Runtime | None = None) -> Segmenter:
    """The segmenter of a source; see `Segmenter.load`.

    Raises WeightsError: there is no such model, or it is code that this process's user did not name.
    """
    if source.startswith(FOREIGN):
        _check_told(source)
        from clickgrain.annotate.foreign import ForeignEngine

        return Segmenter(ForeignEngine(source), source, cut=None)
    if source == TREE:
        return Segmenter.load(source)
    return Segmenter.load(source, device=device, runtime=runtime)
