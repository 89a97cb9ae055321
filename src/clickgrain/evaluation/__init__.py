"""Evaluation: benchmarks, the click protocol, baselines and the quality of trees.

Names are resolved on first use (PEP 562): the settings can be shown without loading OpenCV.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_PUBLIC = {
    "BASELINES": "baselines",
    "Benchmark": "datasets",
    "EvaluationSettings": "settings",
    "LOADERS": "layouts",
    "Method": "methods",
    "OpenCVGrabCut": "baselines",
    "Result": "result",
    "Target": "datasets",
    "TargetResult": "rows",
    "TreeQuality": "tree_result",
    "evaluate": "protocol",
    "evaluate_trees": "tree_quality",
    "load_baseline": "baselines",
    "load_benchmark": "datasets",
    "result_table": "report",
    "size_table": "report",
    "size_class": "datasets",
    "tree_table": "report",
}
__all__ = sorted(_PUBLIC)

if TYPE_CHECKING:
    from clickgrain.evaluation.baselines import BASELINES as BASELINES
    from clickgrain.evaluation.baselines import OpenCVGrabCut as OpenCVGrabCut
    from clickgrain.evaluation.baselines import load_baseline as load_baseline
    from clickgrain.evaluation.datasets import Benchmark as Benchmark
    from clickgrain.evaluation.datasets import Target as Target
    from clickgrain.evaluation.datasets import load_benchmark as load_benchmark
    from clickgrain.evaluation.datasets import size_class as size_class
    from clickgrain.evaluation.layouts import LOADERS as LOADERS
    from clickgrain.evaluation.methods import Method as Method
    from clickgrain.evaluation.protocol import evaluate as evaluate
    from clickgrain.evaluation.report import result_table as result_table
    from clickgrain.evaluation.report import size_table as size_table
    from clickgrain.evaluation.report import tree_table as tree_table
    from clickgrain.evaluation.result import Result as Result
    from clickgrain.evaluation.rows import TargetResult as TargetResult
    from clickgrain.evaluation.settings import EvaluationSettings as EvaluationSettings
    from clickgrain.evaluation.tree_quality import evaluate_trees as evaluate_trees
    from clickgrain.evaluation.tree_result import TreeQuality as TreeQuality


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'clickgrain.evaluation' has no attribute {name!r}")
    return getattr(import_module(f"clickgrain.evaluation.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
