"""clickgrain: click segmentation learned from unlabelled images.

Names are resolved on first use (`__init__.pyi` lists them): `import clickgrain` loads nothing.
"""

import os
import sys

import lazy_loader

__version__ = "0.1.0"

if "torch" not in sys.modules:
    # OpenMP reads it when torch loads. Threads that wait by spinning make a click several times slower as soon as
    # one core has other work (docs/adr/0005-threads.md).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
