"""Structured logs: with --log-json, what would be words or a bar on stderr is one JSON object a line."""

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from typing import Any

_lock = threading.Lock()
_on = False


def is_on() -> bool:
    """Whether events are written."""
    return _on


def use(on: bool) -> None:
    """Write events from now on, and what libraries log or warn of as events too; or no longer."""
    global _on
    if on == _on:
        return
    _on = on
    logging.captureWarnings(on)
    change = logging.root.addHandler if on else logging.root.removeHandler
    change(_HANDLER)


def emit(event: str, **fields: Any) -> None:
    """Write an event, if events are on; fields that JSON cannot hold become text."""
    if not _on:
        return
    about = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event}
    line = json.dumps({**about, **fields}, ensure_ascii=False, default=str)
    with _lock:
        print(line.encode("utf-8", "replace").decode(), file=sys.stderr, flush=True)


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """A log line of a library."""
        trace = {} if record.exc_info is None else {"trace": logging.Formatter().formatException(record.exc_info)}
        emit("message", level=record.levelname.lower(), logger=record.name, message=record.getMessage(), **trace)


_HANDLER = _Handler(logging.WARNING)
