"""Methods to compare with: six without a network, and other people's models; every one is a `Predictor`."""

from collections.abc import Callable, Mapping

from clickgrain.errors import ConfigError
from clickgrain.evaluation.baselines.external import (
    ONNX,
    PREFIX,
    OnnxModel,
    OnnxSam,
    SAMStyle,
    is_pair,
    load_object,
)
from clickgrain.evaluation.baselines.hierarchies import FelzenszwalbTree, SlicTree
from clickgrain.evaluation.baselines.seeded import Geodesic, GraphCut, OpenCVGrabCut, RandomWalker
from clickgrain.types import Predictor

__all__ = [
    "BASELINES", "ONNX", "PREFIX", "FelzenszwalbTree", "Geodesic", "GraphCut", "OnnxModel", "OnnxSam",
    "OpenCVGrabCut", "RandomWalker", "SAMStyle", "SlicTree", "is_baseline", "is_pair", "load_baseline",
]  # fmt: skip
BASELINES: Mapping[str, Callable[[], Predictor]] = {  # name on the command line -> what makes the predictor
    "opencv-grabcut": OpenCVGrabCut,
    "graph-cut": GraphCut,
    "random-walker": RandomWalker,
    "geodesic": Geodesic,
    "felzenszwalb": FelzenszwalbTree,
    "slic": SlicTree,
}


def is_baseline(name: str) -> bool:
    """Whether `load_baseline` loads this name: a known one, an import path or an ONNX file."""
    return name in BASELINES or name.startswith((PREFIX, ONNX))


def load_baseline(name: str) -> Predictor:
    """The baseline called `name`, the object of `python:package.module:factory`, or a network: `onnx:FILE`.

    `onnx:ENCODER,DECODER`, or a folder with the two, is SAM. Raises ConfigError: for an unknown name (the message
    lists the known ones), or an import path or file that gives no predictor.
    """
    if is_pair(name):
        return OnnxSam(name)
    if name.startswith(ONNX):
        return OnnxModel(name.removeprefix(ONNX))
    if name.startswith(PREFIX):
        return load_object(name)
    if name not in BASELINES:
        choice = ", ".join([*BASELINES, f"{PREFIX}package.module:factory", f"{ONNX}FILE"])
        raise ConfigError(f"there is no baseline {name!r}; choose from: {choice}")
    return BASELINES[name]()
