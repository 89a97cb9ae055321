"""The whole story on bundled photos. Names resolve on first use: `DemoArgs` can be shown without torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_PUBLIC = {"DemoArgs": "args", "DemoScale": "args", "run_demo": "story"}
__all__ = sorted(_PUBLIC)

if TYPE_CHECKING:
    from clickgrain.demo.args import DemoArgs as DemoArgs
    from clickgrain.demo.args import DemoScale as DemoScale
    from clickgrain.demo.story import run_demo as run_demo


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'clickgrain.demo' has no attribute {name!r}")
    return getattr(import_module(f"clickgrain.demo.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
