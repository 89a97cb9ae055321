"""`njit` with a cache on disk that may be damaged: numba's own would fail at every start, for good."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numba
from numba.core.caching import FunctionCache


class _Cache(FunctionCache):
    """numba writes its files without waiting for the disk, so that a power cut may leave empty ones."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever pickle makes of damaged bytes
            with suppress(OSError):
                self.flush()
            return None  # numba compiles again

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):  # a full disk, or a folder of another user: it is only a cache
            super().save_overload(sig, data)


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit` with a cache; arguments as there."""

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        with suppress(RuntimeError):  # no folder can be written: compile at every start
            dispatcher._cache = _Cache(function)  # as its enable_caching does with numba's own
        return dispatcher

    return compiled
