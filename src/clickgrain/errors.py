"""Every error that clickgrain raises on purpose, in one tree.

Each message says what was wrong, shows the value, and says what to do. The command line prints the message
alone (no traceback) and exits with status 1.
"""


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
