"""Studies are no part of the installed package: they are imported from the repository, with training's fixtures."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.unit.training.conftest import (  # noqa: F401
    composed,
    drawn,
    extractor,
    image_set,
    mixed,
    one_thread,
    photos,
    settings,
    tiny_config,
)
