"""The click benchmark: a robot clicks until the mask is right, and counts (RITM / SimpleClick convention)."""

import errno
import json
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np

from clickgrain import __version__
from clickgrain.clicks.robot import Click, Drawn, Given, RobotUser, User, split_target
from clickgrain.errors import ConfigError, DataError
from clickgrain.evaluation.config import ENOUGH_CLICKS, ENOUGH_IOU, EvaluationSettings, check_processes
from clickgrain.evaluation.datasets import Benchmark, Target, data_hash, load_group, size_class
from clickgrain.evaluation.result import VERSION, Result, TargetResult
from clickgrain.types import Bool, Mask, Predictor, Scribble, UInt8

Found = TargetResult | str  # a row, or why a target cannot be used
FORMAT = "clickgrain-evaluation"
BOUNDARY_SHARE = 0.02  # width of the boundary band over the image's diagonal (Cheng et al., Boundary IoU, 2021)


def evaluate(
    predictor: Predictor | Callable[[], Predictor],
    benchmark: Benchmark,
    *,
    model: str | None = None,
    max_clicks: int = 20,
    threshold: float = 0.5,
    full_curves: bool = False,
    user: User | None = None,
    targets: int | Iterable[str] | None = None,
    processes: int = 0,
    progress: Callable[[int, int], None] | None = None,
    jsonl: Path | None = None,
    resume: bool = True,
) -> Result:
    """Click every target of a benchmark as the protocol says.

    Args:
        predictor: what is evaluated, or a function without arguments that makes it, such as a class or a `Method`;
            `set_image` is called once per image, and `previous` hands its last mask back. An error that it raises
            is recorded with the target, which then counts as never reached.
        benchmark: images and target masks.
        model: name in the result and in `jsonl`; must differ between checkpoints. Default: the predictor's `name`,
            else its class.
        max_clicks: see `EvaluationSettings`, as for the next two.
        threshold: of the probability.
        full_curves: whether to click on after an IoU of 0.95.
        user: who clicks; the deterministic robot by default.
        targets: only the first N, or only those with these ids.
        processes: distribute the images over N processes; 0 and 1 stay in this one. The rows are the same.
            `predictor` is then a function that makes one, importable by another process (no lambda).
        progress: called after every target with (done, total).
        jsonl: file that takes one line per target as it is finished.
        resume: reuse the targets in `jsonl` (those with an error are tried again); otherwise start the file over.

    Raises:
        ConfigError: settings out of range, or objects that other processes cannot receive.
        DataError: no usable target, a `jsonl` of another evaluation or that cannot be written, or a dead process.
    """
    settings = EvaluationSettings(max_clicks, threshold, full_curves)
    make: Any = predictor
    makes_one = isinstance(predictor, type) or not hasattr(predictor, "set_image")
    if processes > 1 and not makes_one:
        fix = f"give evaluate() a class or a function that makes one, not a {type(predictor).__name__}"
        raise ConfigError(f"--processes {processes}: each process makes its own predictor; {fix}")
    check_processes(processes, str(getattr(predictor, "device", "cpu")))
    chosen, user = benchmark.select(targets), user or RobotUser()
    report = progress or (lambda done, total: None)
    if model is None:
        own = getattr(predictor, "name", None)
        model = own if isinstance(own, str) else getattr(predictor, "__name__", type(predictor).__name__)
    # all that the rows depend on
    asked = {"model": model, "benchmark": benchmark.name, "settings": {**asdict(settings), "user": user.name}}
    head = {"format": FORMAT, "version": VERSION, "clickgrain": __version__, **asked}
    head["data"] = None if jsonl is None else data_hash(benchmark)
    skipped: list[str] = []
    with _journal(jsonl, head, resume) as (earlier, write):
        rows = {target.id: earlier[target.id] for target in chosen if target.id in earlier}
        for done in range(len(rows)):
            report(done + 1, len(chosen))
        left = ([target for target in group if target.id not in rows] for group in chosen.by_image())
        groups = [group for group in left if group]
        found: Generator[Found, None, None]
        if groups and processes > 1:
            from clickgrain.evaluation.workers import click_images  # which imports this module

            found = click_images(make, groups, settings, user, processes)
        else:
            made = make() if groups and makes_one else make
            found = (one for group in groups for one in click_image(made, group, settings, user))
        with closing(found):
            for one in found:
                if isinstance(one, str):
                    skipped.append(one)
                else:
                    write(one.to_dict())
                    rows[one.id] = one
                report(len(rows) + len(skipped), len(chosen))
    ordered = tuple(rows[target.id] for target in chosen if target.id in rows)
    return Result(model, benchmark.name, user.name, settings, ordered, tuple(benchmark.notes), tuple(skipped))


@contextmanager
def _journal(
    path: Path | None, head: Mapping[str, Any], resume: bool
) -> Iterator[tuple[dict[str, TargetResult], Callable[[Mapping[str, Any]], None]]]:
    """The JSONL file that an evaluation writes, from which an interrupted one resumes: a header, a line per target.

    Gives the rows in the file by id, without those with an error, which are tried again, and what writes a line.
    Raises DataError: the file is not an evaluation, belongs to another one, or cannot be read or written.
    """
    if path is None:
        yield {}, lambda value: None
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A line cut short by a crash is dropped before more is appended.
        lines = path.read_bytes().splitlines(keepends=True) if resume and path.exists() else []
        lines = [line for line in lines if line.endswith(b"\n")]
        rows = _checked_rows(path, lines, head) if lines else []
        if lines:
            os.truncate(path, sum(map(len, lines)))
        # Unbuffered: a full disk raises when a line is written, not when the file is closed.
        file = path.open("ab" if lines else "wb", buffering=0)
    except OSError as error:
        raise DataError(f"{path}: cannot be read or written ({error.strerror}); choose another file") from error

    def write(value: Mapping[str, Any]) -> None:
        line = json.dumps(value).encode() + b"\n"
        try:
            if file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            fix = "make room and start again, finished targets are kept"
            raise DataError(f"{path}: cannot be written ({error.strerror}); {fix}") from error

    with file:
        if not lines:
            write(head)
        yield {row.id: row for row in rows if row.error is None}, write


def _checked_rows(path: Path, lines: list[bytes], head: Mapping[str, Any]) -> list[TargetResult]:
    """The rows after the header line, which must be `head`."""
    try:
        found = json.loads(lines[0])
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        start = f"it begins with {lines[0][:40]!r} instead of a header line"
        raise DataError(f"{path}: not an evaluation, {start}; give another file")
    for key, value in head.items():
        if found.get(key) != value:
            what = "images or masks with the hash" if key == "data" else key
            rows = f"its rows are of {what} {found.get(key)!r}, not {value!r}"
            fix = "both must not mix; give another file, or start over without resuming"
            raise DataError(f"{path}: {rows}, and {fix}")
    try:
        return [TargetResult.from_dict(json.loads(line)) for line in lines[1:]]
    except (DataError, ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: {error}; give another file, or start over without resuming") from error


def click_image(
    predictor: Predictor, group: list[Target], settings: EvaluationSettings, user: User
) -> Iterator[Found]:
    """Rows of the targets of one image as they are finished; a line of text for every unusable one."""
    skipped: list[str] = []
    image, masks = load_group(group, skipped)
    yield from skipped
    if image is None or not masks:
        return
    start, error = perf_counter(), None
    try:
        predictor.set_image(image)
        torch = sys.modules.get("torch")  # not imported here: a predictor may do without it
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.synchronize()  # so that encoding is not timed with the first click
    except Exception as problem:  # a predictor may raise anything
        error = one_line(problem)
    seconds = perf_counter() - start
    for target, mask in masks:
        area = float(split_target(mask)[0].mean())
        row = TargetResult(target.id, target.image_id, area, size_class(area), (), (), (), (), (), seconds, error)
        if error is None:
            user.start(target.id)
            row = _click(predictor, mask, settings, user, row)
        yield row


def _click(
    predictor: Predictor, target: UInt8, settings: EvaluationSettings, user: User, row: TargetResult
) -> TargetResult:
    """Fill a row: click one target (H x W uint8: 0 background, 128 ignore, 255 object) of the image that is set."""
    given: list[Given] = []
    scores: list[tuple[float, float, int]] = []  # IoU, boundary IoU, how many are disobeyed
    seconds: list[float] = []
    scorer = Scorer(target)
    error: str | None = None
    mask: Mask | None = None
    prediction = np.zeros(target.shape, np.bool_)
    while len(scores) < settings.max_clicks:
        finished = len(scores) >= ENOUGH_CLICKS and scores[-1][0] >= ENOUGH_IOU and not settings.full_curves
        one = None if finished else user(target, prediction, _pixels(given))
        if one is None:
            break
        given.append(one)
        prompt = prompt_of(given)
        points, labels = prompt.pop("points"), prompt.pop("labels")
        start = perf_counter()
        try:
            mask = predictor.predict(points, labels, previous=mask, **prompt)
            probability = mask.probability
            seconds.append(perf_counter() - start)
            if probability.shape != target.shape:
                raise DataError(f"the prediction has shape {probability.shape}; the image has {target.shape}")
            if not np.isfinite(probability).all():
                raise DataError("the predicted probability holds NaN or infinity; it must lie in 0..1")
        except Exception as problem:  # a predictor may raise anything; many take clicks only
            kinds = sorted({one.kind for one in given if isinstance(one, Drawn)})
            error = f"given a {' and a '.join(kinds)}: {one_line(problem)}" if kinds else one_line(problem)
            break
        prediction = probability > settings.threshold
        scores.append((scorer.iou(prediction), scorer.boundary_iou(prediction), disobeyed(prediction, given)))
    ious, boundary_ious, wrong = zip(*scores) if scores else ((), (), ())
    return replace(
        row,
        ious=ious,
        boundary_ious=boundary_ious,
        disobeyed=wrong,
        clicks=tuple(_by_kind(given)[0]),
        click_seconds=tuple(seconds),
        error=error,
        drawn=tuple((at, one) for at, one in enumerate(given) if isinstance(one, Drawn)),
    )


def prompt_of(given: Sequence[Given]) -> dict[str, Any]:
    """Arguments of `Predictor.predict`; `box` (the last one) and `scribbles` only if they were given."""
    clicks, boxes, strokes = _by_kind(given)
    values = np.array(clicks, np.float32).reshape(-1, 3)
    prompt: dict[str, Any] = {"points": values[:, :2], "labels": values[:, 2].astype(np.uint8)}
    if boxes:
        prompt["box"] = tuple(value for point in boxes[-1].points for value in point)
    if strokes:
        prompt["scribbles"] = [Scribble(np.array(one.points, np.float32), one.label) for one in strokes]
    return prompt


def _by_kind(given: Sequence[Given]) -> tuple[list[Click], list[Drawn], list[Drawn]]:
    """Clicks, boxes and strokes."""
    drawn = [one for one in given if isinstance(one, Drawn)]
    boxes, strokes = ([one for one in drawn if one.kind == kind] for kind in ("box", "scribble"))
    return [one for one in given if not isinstance(one, Drawn)], boxes, strokes


def _pixels(given: Sequence[Given]) -> list[tuple[float, float]]:
    """(x, y) of clicks and strokes."""
    clicks, _, strokes = _by_kind(given)
    return [*((x, y) for x, y, _ in clicks), *(point for one in strokes for point in one.points)]


def one_line(error: Exception) -> str:
    """The class and message of an error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def iou(object_: Bool, valid: Bool, prediction: Bool) -> float:
    """IoU of H x W bool masks `object_` and `prediction`, over `valid` pixels only; 1 where both are empty."""
    predicted = prediction & valid
    intersection = np.count_nonzero(object_ & predicted)
    union = np.count_nonzero(object_) + np.count_nonzero(predicted) - intersection
    return float(intersection / union) if union else 1.0


def boundary(mask: Bool) -> Bool:
    """The inner boundary of an H x W bool mask: its pixels within the band's width of its border.

    The image's frame counts as border. The width is 2 % of the image's diagonal, in pixels, at least 1; distances
    are those of a square (chessboard), as in the paper's code.
    """
    width = max(1, round(BOUNDARY_SHARE * float(np.hypot(*mask.shape))))
    result = np.zeros_like(mask)
    left, top, w, h = cv2.boundingRect(mask.view(np.uint8))
    box = slice(top, top + h), slice(left, left + w)
    if w and h:
        # Erosion by a square is a minimum along rows and columns; zeros beyond the box are the background there.
        kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
        padded = cv2.copyMakeBorder(mask[box].view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        eroded = cv2.erode(padded, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)[1:-1, 1:-1]
        result[box] = mask[box] & ~eroded.view(np.bool_)
    return result


class Scorer:
    """Scores predictions of one target: H x W uint8 (0 background, 128 ignore, 255 object) or bool."""

    def __init__(self, target: UInt8 | Bool) -> None:
        self._object, self._valid = split_target(target)
        self._boundary = boundary(self._object)

    def iou(self, prediction: Bool) -> float:
        """Intersection over union of an H x W bool prediction, ignored pixels left out."""
        return iou(self._object, self._valid, prediction)

    def boundary_iou(self, prediction: Bool) -> float:
        """IoU of the two masks' inner boundaries (`boundary`), ignored pixels left out."""
        # Ignored pixels take the target's side, so that no boundary arises along them.
        agreed = np.where(self._valid, prediction, self._object)
        return iou(self._boundary, self._valid, boundary(agreed))


def disobeyed(prediction: Bool, given: Sequence[Given]) -> int:
    """How many clicks and strokes (most of their points) lie on the wrong side of an H x W bool prediction."""
    clicks, _, strokes = _by_kind(given)
    count = sum(bool(prediction[y, x]) != bool(label) for x, y, label in clicks)
    for one in strokes:
        wrong = sum(bool(prediction[int(y), int(x)]) != bool(one.label) for x, y in one.points)
        count += 2 * wrong > len(one.points)
    return count
