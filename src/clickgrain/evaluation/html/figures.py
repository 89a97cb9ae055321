"""Pictures with captions, and the galleries made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from clickgrain.clicks.robot import Given, split_target
from clickgrain.errors import DataError, ImageError
from clickgrain.evaluation.clicking import prompt_of
from clickgrain.evaluation.html.markup import Html, joined, tag
from clickgrain.evaluation.pictures import Pictures, data_uri, overlay, region_map
from clickgrain.evaluation.result import Result, TargetResult
from clickgrain.evaluation.scores import iou
from clickgrain.tree import MergeTree
from clickgrain.types import Bool, Mask, Predictor, UInt8

SAME = 0.02
"""IoU may differ by this much between two machines."""


@dataclass(frozen=True)
class Example:
    """One target as the gallery shows it.

    Attributes:
        id: of the target.
        place: "best", "median", "worst" or the like.
        image: H x W x 3 uint8 RGB.
        target: H x W bool.
        answers: one per model, in the order of the report.
    """

    id: str
    place: str
    image: UInt8
    target: Bool
    answers: tuple["Answer", ...]


class Answer(NamedTuple):
    """What one model did with an example.

    Attributes:
        name: of the model.
        given: clicks, boxes and strokes so far.
        mask: H x W bool after them; None when it was not made again.
        iou: reached in the evaluation.
        again: of `mask`, which can differ where the model has changed since.
    """

    name: str
    given: Sequence[Given]
    mask: Bool | None
    iou: float
    again: float | None = None


def figure(picture: UInt8, *caption: object, alt: str) -> Html:
    """A picture (h x w x 3 uint8 RGB) with a caption."""
    height, width = picture.shape[:2]
    image = tag("img", src=data_uri(picture), alt=alt, width=width, height=height, loading="lazy")
    return tag("figure", image, tag("figcaption", *caption) if caption else "")


def gallery(figures: Sequence[Html], *, cell: int = 200, wide: bool = False) -> Html:
    """Figures side by side, each at least `cell` pixels wide; on a phone two in a row, or one if `wide`."""
    return tag("div", *figures, class_="gallery wide" if wide else "gallery", style=f"--cell:{cell}px")


def tree_pictures(image: UInt8, tree: MergeTree, click: tuple[int, int], *, level: float = 0.6) -> list[Html]:
    """The image with a click, its tree cut at three levels, and the node that the click means.

    Args:
        image: H x W x 3 uint8 RGB, of the tree's image size.
        tree: its merge tree.
        click: (x, y) image pixels.
        level: of the node.
    """
    cuts = [k for k in (120, 30, 8) if k <= tree.n_leaves] or [1]
    node = tree.node_at(*click, level)
    chosen = tree.upsample(node, image) > 0.5
    share = 100 * float(tree.area[node]) / tree.n_leaves
    first = figure(
        overlay(image, clicks=[(*click, 1)]), tag("b", "Photo"), " with one click", alt="photo with a click"
    )
    maps = [figure(region_map(image, tree.cut(k)), tag("b", f"{k} regions"), alt=f"{k} regions") for k in cuts]
    about = (tag("b", "The clicked region"), f" at level {tree.level[node]:.2f}, {share:.0f} % of the photo")
    last = figure(overlay(image, chosen, [(*click, 1)]), *about, alt="the region of the tree that was clicked")
    return [first, *maps, last]


def replay(predictor: Predictor, image: UInt8, given: Sequence[Given]) -> Mask:
    """The mask after recorded clicks, boxes and strokes, given one by one as the evaluation did; at least one."""
    predictor.set_image(image)
    mask: Mask | None = None
    for k in range(1, len(given) + 1):
        prompt = prompt_of(given[:k])
        mask = predictor.predict(prompt.pop("points"), prompt.pop("labels"), previous=mask, **prompt)
        _ = mask.probability  # the next click builds on what was shown
    assert mask is not None, "no clicks to replay"
    return mask


def examples(
    results: Sequence[Result],
    predictors: Sequence[Predictor | None],
    pictures: Pictures,
    *,
    leader: int = 0,
    clicks: int = 3,
    labels: Sequence[str] | None = None,
) -> list[Example]:
    """The best, median and worst target of one result, with every model's mask after a few clicks.

    Args:
        results: of the same benchmark.
        predictors: those that gave the results, in the same order; each answers its own clicks again. For None
            the clicks are shown without a mask.
        pictures: loads a target (`target_pictures`); those that cannot be read are left out.
        leader: which result ranks the targets, by mean IoU over the first five clicks.
        clicks: how many are shown.
        labels: shown instead of the models' names.
    """
    names = list(labels or [result.model for result in results])
    shown = []
    for place, id_ in places(results[leader]):
        try:
            image, target = pictures(id_)
        except (DataError, ImageError):  # no longer there; the figures stand
            continue
        answers = [
            _answer(name, result, predictor, id_, image, target, clicks)
            for name, result, predictor in zip(names, results, predictors)
        ]
        shown.append(Example(id_, place, image, split_target(target)[0], tuple(filter(None, answers))))
    return shown


def _answer(
    name: str,
    result: Result,
    predictor: Predictor | None,
    id_: str,
    image: UInt8,
    target: UInt8 | Bool,
    clicks: int,
) -> Answer | None:
    """What a model did with a target; None if it was not given that target, or failed."""
    row = next((row for row in result.rows if row.id == id_), None)
    if row is None or row.error is not None or not row.ious:
        return None
    made = row.given[: min(clicks, len(row.ious))]
    mask = _mask_again(predictor, image, made, result.settings.threshold)
    again = None if mask is None else iou(*split_target(target), mask)
    return Answer(name, made, mask, row.ious[len(made) - 1], again)


def _mask_again(predictor: Predictor | None, image: UInt8, given: Sequence[Given], threshold: float) -> Bool | None:
    if predictor is None:
        return None
    try:
        mask = replay(predictor, image, given).probability > threshold
        return mask if mask.shape == image.shape[:2] else None
    except Exception:  # any method may be shown here, and a picture is no reason to lose the page
        return None


def example_gallery(shown: Sequence[Example]) -> Html:
    """One row of pictures per example: what is wanted, then each model's answer."""
    blocks = []
    for example in shown:
        area = 100 * float(example.target.mean())
        wanted = overlay(example.image, target=example.target)
        figures = [figure(wanted, tag("b", "Wanted"), f" {area:.1f} % of the image", alt="the wanted outline")]
        figures += [_answer_figure(example, answer) for answer in example.answers]
        # Five or six pictures fill two rows of three.
        row = gallery(figures, cell=300 if len(figures) in (5, 6) else 210)
        blocks.append(joined(tag("h3", f"{example.place.capitalize()}: target {example.id}"), row))
    return joined(*blocks)


def _answer_figure(example: Example, answer: Answer) -> Html:
    drawn = overlay(example.image, answer.mask, answer.given, target=example.target)
    count = f"{len(answer.given)} click" + ("s" if len(answer.given) != 1 else "")
    reached = f" IoU {answer.iou:.2f} after {count}"
    changed = answer.again is not None and abs(answer.again - answer.iou) > SAME
    told = f"; the mask shown has {answer.again:.2f}, so that the model has changed since" if changed else ""
    what = "clicks" if answer.mask is None else "mask"
    return figure(drawn, tag("b", answer.name), reached, told, alt=f"{answer.name}: {what} after {count}")


def places(result: Result) -> list[tuple[str, str]]:
    """(place, id) of the best, median and worst target, without repeating one."""
    ranked = sorted(result.rows, key=lambda row: -_ease(row, result.settings.max_clicks))
    places = {"best": 0, "median": len(ranked) // 2, "worst": len(ranked) - 1}
    chosen: dict[str, str] = {}
    for place, i in places.items():
        chosen.setdefault(ranked[i].id, place)
    return [(place, id_) for id_, place in chosen.items()]


def _ease(row: TargetResult, max_clicks: int) -> float:
    return float(row.curve(max_clicks)[:5].mean())
