"""Every error that clickgrain raises on purpose, in one tree.

Each message says what was wrong, shows the value, and says what to do. The command line prints the message
alone (no traceback) and exits with status 1.
"""

from math import inf


class ClickgrainError(Exception):
    """Base of all errors raised on purpose."""


class ImageError(ClickgrainError):
    """An image file that cannot be read, or an array that is not an H x W x 3 uint8 image."""


class FeatureError(ClickgrainError, ValueError):
    """Features that cannot be used (wrong shape, NaN), or an extractor that cannot be loaded."""


class TreeError(ClickgrainError, ValueError):
    """A merge tree that cannot be built or asked for (no such node, a point outside)."""


class PromptError(ClickgrainError, ValueError):
    """Clicks outside the image, labels other than 0 and 1, boxes or previous masks of a wrong shape."""


class WeightsError(ClickgrainError):
    """Weights or a config that cannot be found, read, matched or written."""


class StoreError(ClickgrainError):
    """A proposal store that cannot be read or written (another version, a full disk)."""


class DataError(ClickgrainError):
    """A data set or photo folder whose layout or content is not what was asked for."""


class ConfigError(ClickgrainError, ValueError):
    """Settings that contradict each other; the message names the flag."""


class TrainingError(ClickgrainError):
    """A training run that cannot start or continue (diverged, other settings, nothing to learn from)."""


def cause(error: Exception) -> str:
    """What went wrong, in one line."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error).strip() or type(error).__name__
    return text.splitlines()[0]


def is_interruption(error: BaseException) -> bool:
    """Whether an error is a Ctrl-C or SIGTERM, or was made of one: Python 3.11 wraps those in `__set_name__`."""
    behind: BaseException | None = error
    while behind is not None and not isinstance(behind, KeyboardInterrupt):
        behind = behind.__cause__
    return behind is not None


def check_range(
    settings: object, names: str, least: float, most: float = inf, *, above: bool = False, prefix: str = "--"
) -> None:
    """Refuse settings outside least..most (not `least` itself if `above`), naming the flag; None is not set.

    Raises ConfigError: for the first of the space-separated `names` that is outside, infinite or NaN.
    """
    for name in names.split():
        value = getattr(settings, name)
        if value is None or ((least < value if above else least <= value) and value <= most and value != inf):
            continue
        wanted = f"must be a number above {least:g}" if above else f"must be {least:g} or more"
        wanted = f"is outside {least:g}..{most:g}" if most < inf else wanted
        raise ConfigError(f"{prefix}{name.replace('_', '-')} {value} {wanted}")
