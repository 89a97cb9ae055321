"""Methods without a network to compare with, and anybody's model by import path; every one is a `Predictor`."""

from collections.abc import Callable, Mapping

from clickgrain.errors import ConfigError
from clickgrain.evaluation.baselines.geodesic import Geodesic as Geodesic
from clickgrain.evaluation.baselines.graph_cut import GraphCut as GraphCut
from clickgrain.evaluation.baselines.hierarchies import FelzenszwalbTree as FelzenszwalbTree
from clickgrain.evaluation.baselines.hierarchies import SlicTree as SlicTree
from clickgrain.evaluation.baselines.imported import PREFIX as PREFIX
from clickgrain.evaluation.baselines.imported import SAMStyle as SAMStyle
from clickgrain.evaluation.baselines.imported import load_object
from clickgrain.evaluation.baselines.onnx_model import ONNX as ONNX
from clickgrain.evaluation.baselines.onnx_model import OnnxModel as OnnxModel
from clickgrain.evaluation.baselines.onnx_model import load_onnx
from clickgrain.evaluation.baselines.opencv_grabcut import OpenCVGrabCut as OpenCVGrabCut
from clickgrain.evaluation.baselines.random_walker import RandomWalker as RandomWalker
from clickgrain.types import Predictor

__all__ = [
    "BASELINES",
    "ONNX",
    "PREFIX",
    "FelzenszwalbTree",
    "Geodesic",
    "GraphCut",
    "OnnxModel",
    "OpenCVGrabCut",
    "RandomWalker",
    "SAMStyle",
    "SlicTree",
    "is_baseline",
    "load_baseline",
]

BASELINES: Mapping[str, Callable[[], Predictor]] = {
    "opencv-grabcut": OpenCVGrabCut,
    "graph-cut": GraphCut,
    "random-walker": RandomWalker,
    "geodesic": Geodesic,
    "felzenszwalb": FelzenszwalbTree,
    "slic": SlicTree,
}
"""Name on the command line -> what makes the predictor; nothing is made before it is asked for."""


def is_baseline(name: str) -> bool:
    """Whether `load_baseline` is to load this name: a known one, an import path or an ONNX file."""
    return name in BASELINES or name.startswith((PREFIX, ONNX))


def load_baseline(name: str) -> Predictor:
    """The baseline called `name`, the object of an import path `python:package.module:factory`, or `onnx:FILE`.

    Raises:
        ConfigError: for an unknown name (the message lists the known ones), or an import path or file that gives no
            predictor.
    """
    if name.startswith(ONNX):
        return load_onnx(name)
    if name.startswith(PREFIX):
        return load_object(name)
    if name not in BASELINES:
        choice = ", ".join([*BASELINES, f"{PREFIX}package.module:factory", f"{ONNX}FILE"])
        raise ConfigError(f"there is no baseline {name!r}; choose from: {choice}")
    return BASELINES[name]()
