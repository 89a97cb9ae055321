"""Evaluation: benchmarks, the click protocol, baselines and the quality of trees.

Names are resolved on first use (`__init__.pyi` lists them), so that settings can be shown without loading OpenCV.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
