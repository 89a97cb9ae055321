"""Users who click at random or draw: a box first, or scribbles; and every user by name.

Each depends on its seed and on the target alone, so that an evaluation can be resumed and spread over processes.
"""

from collections.abc import Callable
from zlib import crc32

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import label as components
from scipy.sparse.csgraph import dijkstra
from skimage.graph import pixel_graph
from skimage.morphology import skeletonize

from clickgrain.clicks import robot
from clickgrain.clicks.robot import Click, Drawn, Given, RobotUser, User
from clickgrain.errors import ConfigError
from clickgrain.types import Bool, UInt8

JITTER, MOST_JITTER = 0.1, 20.0
"""Standard deviation of a box's sides as a share of its length, and their largest shift in pixels (SAM's training,
Kirillov et al., ICCV 2023, appendix A)."""
STROKE_POINTS = 32
SHORTENED = 0.25  # a stroke lacks at most this share of the error's middle line at either end

Pixels = npt.NDArray[np.int64]


class _Seeded:
    """A user whose randomness depends on its seed and on the target's id."""

    kind: str

    def __init__(self, seed: int = 0) -> None:
        self.name = f"{self.kind}-{seed}" if seed else self.kind
        self._seed = seed
        self.start("")

    def start(self, target_id: str) -> None:
        """Reseed for this target."""
        self._rng = np.random.default_rng([self._seed, crc32(target_id.encode())])


class NoisyUser(_Seeded):
    """A less exact hand: a random pixel of the larger error, deeper than half its maximal depth."""

    kind = "noisy"

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.name = f"noisy-{seed}"

    def __call__(self, target: UInt8 | Bool, prediction: Bool, clicked: npt.ArrayLike) -> Click | None:
        """A random (x, y, label); None when no error pixel is left unclicked."""
        error, label = robot.larger_error(*robot.error_masks(target, prediction), clicked)
        return (*error.random_deep(self._rng), label) if error.maximum else None


class BoxFirstUser(_Seeded):
    """Draws the target's bounding box, then clicks as the robot does.

    The box counts as one interaction. With seed 0 it is exact; otherwise every side is shifted by a normal
    distribution of 10 % of the box's width (height), at most 20 pixels.
    """

    kind = "box-first"

    def start(self, target_id: str) -> None:
        """Begin a target: a box is due."""
        super().start(target_id)
        self._due = True

    def __call__(self, target: UInt8 | Bool, prediction: Bool, clicked: npt.ArrayLike) -> Given | None:
        """The box at first, then `next_click`."""
        if not self._due:
            return robot.next_click(target, prediction, clicked)
        self._due, object_ = False, robot.split_target(target)[0]
        x, y, w, h = cv2.boundingRect(object_.astype(np.uint8))
        if w == 0:
            return None
        sides, length = np.array([x, y, x + w, y + h], float), np.array([w, h, w, h], float)
        shift = np.clip(self._rng.normal(0, JITTER * length), -MOST_JITTER, MOST_JITTER)
        moved = np.rint(sides + (shift if self._seed else 0))
        ends = np.tile(object_.shape[::-1], 2)
        x1, y1 = np.clip(moved[:2], 0, ends[:2] - 1)
        x2, y2 = np.clip(moved[2:], [x1 + 1, y1 + 1], ends[2:])  # never empty, never outside
        return Drawn("box", ((float(x1), float(y1)), (float(x2), float(y2))))


class ScribbleUser(_Seeded):
    """Draws strokes: along the middle of the larger error, where the robot would click.

    The stroke follows the longest path of the skeleton of the connected error region that holds the robot's
    click, shortened at both ends by up to a quarter, at random. Every stroke counts as one interaction.
    """

    kind = "scribble"

    def __call__(self, target: UInt8 | Bool, prediction: Bool, clicked: npt.ArrayLike) -> Given | None:
        """A stroke; None when no error pixel is left unmarked."""
        missed, spurious = robot.error_masks(target, prediction)
        error, label = robot.larger_error(missed, spurious, clicked)
        if error.maximum == 0:
            return None
        line = middle_line(missed if label else spurious, error.deepest())
        cut = np.rint(self._rng.uniform(0, SHORTENED, 2) * len(line)).astype(int)
        kept = line[cut[0] : len(line) - cut[1]]
        chosen = kept[np.unique(np.linspace(0, len(kept) - 1, STROKE_POINTS).astype(int))]
        return Drawn("scribble", tuple((float(px), float(py)) for px, py in chosen), label)


def middle_line(region: Bool, point: tuple[int, int]) -> Pixels:
    """K x 2 (x, y) pixels in order: the longest shortest path in the skeleton of the region's part at `point`."""
    parts, _ = components(region, np.ones((3, 3)))
    part = parts == parts[point[1], point[0]]
    left, top, width, height = cv2.boundingRect(part.astype(np.uint8))
    skeleton = skeletonize(part[top : top + height, left : left + width])
    y, x = np.nonzero(skeleton)
    if len(x) < 2:
        return np.stack([x + left, y + top], axis=1) if len(x) else np.array([point])
    graph, _ = pixel_graph(skeleton, connectivity=2)
    graph.sort_indices()
    start = _farthest(dijkstra(graph, indices=[0])[0])  # between the two ends, found by looking twice
    distance, before = dijkstra(graph, indices=[start], return_predecessors=True)
    path = [_farthest(distance[0])]
    while path[-1] != start:
        path.append(int(before[0, path[-1]]))
    return np.stack([x + left, y + top], axis=1)[path]


def _farthest(distance: npt.NDArray[np.float64]) -> int:
    return int(np.where(np.isfinite(distance), distance, -1).argmax())


def make_user(name: str, seed: int = 0) -> User:
    """The user called "robot", "noisy", "box-first" or "scribble"; ConfigError for another name or a bad seed."""
    kinds: dict[str, Callable[[int], User]] = {one.kind: one for one in (NoisyUser, BoxFirstUser, ScribbleUser)}
    if name == "robot":
        if seed:
            raise ConfigError(f"--user-seed {seed}: the robot user always clicks the same; take --user noisy")
        return RobotUser()
    if name not in kinds:
        raise ConfigError(f"there is no user {name!r}; choose from: robot, {', '.join(kinds)}")
    if seed < 0:
        raise ConfigError(f"--user-seed {seed} is negative; give 0, 1, 2, ...")
    return kinds[name](seed)
