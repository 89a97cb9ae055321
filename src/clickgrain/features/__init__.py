"""Features: one vector per patch of an image, from color and texture or from self-supervised networks.

Names are resolved on first use (`__init__.pyi` lists them): torch, OpenCV and even numpy take longer to load than
the command line may take.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
