"""clickgrain: click segmentation learned from unlabelled images."""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if "torch" not in sys.modules:
    # OpenMP reads it when torch loads. Threads that wait by spinning make a click several times slower as soon as
    # one core has other work (docs/adr/0005-threads.md).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Public name -> module that holds it; resolved on first use (PEP 562), so `import clickgrain` loads nothing.
_PUBLIC = {
    "ClickgrainError": "errors",
    "FeatureExtractor": "features",
    "Mask": "types",
    "MergeTree": "tree",
    "Predictor": "types",
    "Prompt": "types",
    "Scribble": "types",
    "Segmenter": "segmenter",
    "build_tree": "tree",
    "evaluate": "evaluation",
    "load_benchmark": "evaluation",
    "load_extractor": "features",
    "read_image": "images",
    "sample_proposal": "proposals.sampling",
    "sample_proposals": "proposals.sampling",
}
__all__ = sorted(_PUBLIC)

if TYPE_CHECKING:
    from clickgrain.errors import ClickgrainError as ClickgrainError
    from clickgrain.evaluation import evaluate as evaluate
    from clickgrain.evaluation import load_benchmark as load_benchmark
    from clickgrain.features import FeatureExtractor as FeatureExtractor
    from clickgrain.features import load_extractor as load_extractor
    from clickgrain.images import read_image as read_image
    from clickgrain.proposals.sampling import sample_proposal as sample_proposal
    from clickgrain.proposals.sampling import sample_proposals as sample_proposals
    from clickgrain.segmenter import Segmenter as Segmenter
    from clickgrain.tree import MergeTree as MergeTree
    from clickgrain.tree import build_tree as build_tree
    from clickgrain.types import Mask as Mask
    from clickgrain.types import Predictor as Predictor
    from clickgrain.types import Prompt as Prompt
    from clickgrain.types import Scribble as Scribble


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'clickgrain' has no attribute {name!r}")
    return getattr(import_module(f"clickgrain.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
