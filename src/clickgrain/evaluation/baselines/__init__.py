"""Methods to compare with: six without a network, and other people's models; every one is a `Predictor`."""

from collections.abc import Callable, Mapping
from functools import partial

from clickgrain.errors import ConfigError
from clickgrain.evaluation.baselines.external import ONNX, PREFIX, load_object, onnx_files
from clickgrain.evaluation.baselines.external import OnnxModel as OnnxModel
from clickgrain.evaluation.baselines.external import OnnxSam as OnnxSam
from clickgrain.evaluation.baselines.hierarchies import felzenszwalb_tree, slic_tree
from clickgrain.evaluation.baselines.seeded import OpenCVGrabCut as OpenCVGrabCut
from clickgrain.evaluation.baselines.seeded import Seeded, geodesic_on, graph_cut_on, random_walker_on
from clickgrain.types import Predictor

BASELINES: Mapping[str, Callable[[], Predictor]] = {  # name on the command line -> what makes the predictor
    "opencv-grabcut": OpenCVGrabCut,
    "graph-cut": partial(Seeded, "graph-cut", 256, graph_cut_on),
    "random-walker": partial(Seeded, "random-walker", 256, random_walker_on),
    "geodesic": partial(Seeded, "geodesic", 384, geodesic_on),
    "felzenszwalb": felzenszwalb_tree,
    "slic": slic_tree,
}


def is_baseline(name: str) -> bool:
    """Whether `load_baseline` loads this name: a known one, an import path or an ONNX file."""
    return name in BASELINES or name.startswith((PREFIX, ONNX))


def load_baseline(name: str) -> Predictor:
    """The baseline called `name`, the object of `python:package.module:factory`, or a network: `onnx:FILE`.

    `onnx:ENCODER,DECODER`, or a folder with the two, is SAM. Raises ConfigError: for an unknown name (the message
    lists the known ones), or an import path or file that gives no predictor.
    """
    if name.startswith(ONNX):
        return OnnxSam(name) if len(onnx_files(name)) > 1 else OnnxModel(name.removeprefix(ONNX))
    if name.startswith(PREFIX):
        return load_object(name)
    if name not in BASELINES:
        choice = ", ".join([*BASELINES, f"{PREFIX}package.module:factory", f"{ONNX}FILE"])
        raise ConfigError(f"there is no baseline {name!r}; choose from: {choice}")
    return BASELINES[name]()
