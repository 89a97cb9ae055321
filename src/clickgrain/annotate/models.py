"""Models by name: what a source is, which one to start with, and loading it."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

import clickgrain
from clickgrain.annotate.database import ModelInfo
from clickgrain.errors import WeightsError
from clickgrain.features import load_extractor
from clickgrain.files import hash_bytes, hash_file
from clickgrain.models.onnx_runtime import DECODER, ENCODER, is_onnx
from clickgrain.segmenter import Runtime, Segmenter
from clickgrain.weights import CONFIG, TENSORS, find_model, load_model, read_config

TREE = "tree"
FOREIGN = ("python:", "onnx:")
_TOLD: set[str] = set()  # models that the user of this process named; what a project file names may be anyone's
DEFAULT = Path(clickgrain.__file__).parent / "data" / "default"
NOTICE = (
    "No trained model ships with this version, so clicks are answered by the tree of regions alone."
    " Learn makes a model from this folder."
)


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
    folder = find_model(source)
    kind, weights = str(read_config(folder)["kind"]), [folder / TENSORS]
    if is_onnx(folder):
        kind, weights = "grain, ONNX", [folder / ENCODER, folder / DECODER]
        if not weights[1].is_file():
            raise WeightsError(f"{folder}: {DECODER} is missing; write it again with clickgrain export-model")
    else:
        try:
            with safe_open(weights[0], framework="numpy"):  # checks its header and its length
                pass
        except (OSError, SafetensorError):
            load_model(folder)  # says what is wrong
    stamp = hash_bytes(" ".join(hash_file(file) for file in (folder / CONFIG, *weights)).encode())
    name = source if source == "default" or "/" not in source else Path(source).name
    return ModelInfo(stamp, name, kind, stamp, source)


def model_folder(source: str) -> Path:
    """Where the files of a local model are, if there are any."""
    return DEFAULT if source == "default" else Path(source).expanduser()


def is_labelled(source: str) -> bool:
    """Whether a model was trained on masks of people, as its config says."""
    try:
        return read_config(model_folder(source)).get("labelled") is True
    except WeightsError:
        return False


def _check_told(source: str) -> None:
    """Never run code because a project file says so: WeightsError for an import path that the user did not name."""
    if source.startswith("python:") and source not in _TOLD:
        raise WeightsError(f"{source}: code runs only if you name it yourself; give --model {source}")


def choose_model(wanted: str | None) -> tuple[str, str | None]:
    """(source, notice): what was asked for (WeightsError: not found), the model in the package, or the tree."""
    if wanted is not None:
        _TOLD.add(wanted)
        describe_model(wanted)
        return wanted, None
    return ("default", None) if (DEFAULT / CONFIG).is_file() else (TREE, NOTICE)


def load_segmenter(source: str, device: str, runtime: Runtime | None = None) -> Segmenter:
    """The segmenter of a source, see `Segmenter.load`; WeightsError also for code that the user did not name."""
    if source.startswith(FOREIGN):
        _check_told(source)
        from clickgrain.annotate.foreign import ForeignEngine

        return Segmenter(ForeignEngine(source), source, cut=None)
    return Segmenter.load(source, device=device, runtime=runtime)
