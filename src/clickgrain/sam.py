"""The names and shapes of Segment Anything's two classes, answered by clickgrain.

Code written for it changes one import. Points are (x, y) pixels, boxes XYXY pixels, masks C x H x W.
Interface: segment_anything's predictor.py and automatic_mask_generator.py, which is not imported.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.cut import depth_in
from clickgrain.errors import ConfigError, PromptError
from clickgrain.export import rle
from clickgrain.images import check_image, fit_size
from clickgrain.scene import Scene, SceneMaker
from clickgrain.segmenter import Encoded, Segmenter, reduced
from clickgrain.tree import MergeTree
from clickgrain.tree.leaf_map import cut_nodes, partition, to_size
from clickgrain.types import Bool, Float, Mask, Size, UInt8

SIDE = 256
"""Of low-resolution logits; the image lies in their upper left corner, its long side as long, as in SAM."""
MOST_LOGIT = 12.0
MASKS = 3
"""Most answers to one prompt, as in SAM."""


class SamPredictor:
    """Clicks and boxes on one image, called as SAM's predictor is.

    ```python
    predictor = SamPredictor()
    predictor.set_image(image)  # H x W x 3 uint8 RGB
    masks, scores, logits = predictor.predict(point_coords=np.array([[220, 120]]), point_labels=np.array([1]))
    masks, scores, logits = predictor.predict(points, labels, mask_input=logits[:1], multimask_output=False)
    ```

    Args:
        model: a `Segmenter`, or what `Segmenter.load` takes: "default", "tree", a model folder, a Hugging Face id.
        device: torch device, of a model given by name.
    """

    def __init__(self, model: Segmenter | str | Path = "default", *, device: str = "cpu") -> None:
        self.model = model if isinstance(model, Segmenter) else Segmenter.load(model, device=device)
        self.reset_image()

    def reset_image(self) -> None:
        """Forget the image."""
        self._encoded: Encoded | None = None
        self._last: tuple[list[Mask], Float] = [], np.zeros((0, SIDE, SIDE), np.float32)

    @property
    def is_image_set(self) -> bool:
        """Whether `predict` has an image to answer on."""
        return self._encoded is not None

    @property
    def original_size(self) -> Size:
        """(H, W) of the image."""
        return self._current().size

    def set_image(self, image: UInt8, image_format: Literal["RGB", "BGR"] = "RGB") -> None:
        """Encode an H x W x 3 uint8 image for later `predict` calls.

        Raises ConfigError: for another format than "RGB" or "BGR". ImageError: if the array is no such image.
        """
        if image_format not in ("RGB", "BGR"):
            raise ConfigError(f"image_format {image_format!r} is unknown; give 'RGB' or 'BGR'")
        self.reset_image()
        self._encoded = self.model.encode(image if image_format == "RGB" else check_image(image)[..., ::-1])

    def predict(
        self,
        point_coords: npt.ArrayLike | None = None,
        point_labels: npt.ArrayLike | None = None,
        box: npt.ArrayLike | None = None,
        mask_input: Float | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        *,
        level: float | None = None,
    ) -> tuple[npt.NDArray[Any], Float, Float]:
        """Masks for one prompt. Raises PromptError: no image is set, or an invalid prompt.

        Args:
            point_coords: N x 2 (x, y) pixels.
            point_labels: N of 1 (object) or 0 (background).
            box: XYXY pixels.
            mask_input: 1 x 256 x 256 logits of the mask to correct, as a `predict` before gave them.
            multimask_output: also the answers at other levels of the tree; with a `level` there is one answer.
            return_logits: masks as float32 logits, which are positive on the object, instead of bool.
            level: wanted granularity, 0 (finest part) .. 1 (whole image); None lets the model choose.

        Returns:
            (masks C x H x W, scores C float32 in 0..1, low-resolution logits C x 256 x 256 float32), C at most 3.
            The first is the model's answer and has the highest score.
        """
        current = self._current()
        previous = None if mask_input is None else self._mask_of(np.asarray(mask_input, np.float32), current.size)
        flat = None if box is None else np.asarray(box, np.float32).reshape(-1)
        answer = self.model.predict(point_coords, point_labels, flat, None, level, previous, encoded=current)
        found = [answer]
        if multimask_output and level is None:
            found += answer.alternatives[: MASKS - 1]
        logits = [_logits(mask.probability) for mask in found]
        self._last = found, np.stack([_low(one) for one in logits])
        # What the other levels expect of themselves is not comparable: the answer stays the best.
        scores = np.array([min(mask.score, answer.score) for mask in found], np.float32)
        masks = np.stack(logits) if return_logits else np.stack([mask.binary for mask in found])
        return masks, scores, self._last[1].copy()

    def _current(self) -> Encoded:
        if self._encoded is None:
            raise PromptError("no image yet; call set_image(image) first")
        return self._encoded

    def _mask_of(self, logits: Float, size: Size) -> Mask:
        """The mask that low-resolution logits came from, at its full size where they are of the last answer."""
        if logits.shape[-2:] != (SIDE, SIDE) or logits.size != SIDE**2 or not np.isfinite(logits).all():
            raise PromptError(
                f"mask_input has shape {logits.shape} or values that are no numbers; give 1 x {SIDE} x {SIDE}"
                " logits, such as logits[:1] of the last answer"
            )
        for mask, known in zip(*self._last):
            if np.array_equal(known, logits.reshape(SIDE, SIDE)):
                return mask
        height, width = fit_size(size, SIDE)
        low = np.ascontiguousarray(logits.reshape(SIDE, SIDE)[:height, :width])
        return Mask(1 / (1 + np.exp(-cv2.resize(low, size[::-1], interpolation=cv2.INTER_LINEAR))))


class SamAutomaticMaskGenerator:
    """The whole image in regions: cuts of its merge tree, as a list of SAM's records.

    Settings of SAM's that have no meaning here (its grid of points, its crops) are refused by Python itself. Raises
    ConfigError: for another output mode, or a level outside 0..1.

    Args:
        model: as of `SamPredictor`.
        levels: of the cuts, 0 (patches) .. 1 (the image); a region that several cuts share is listed once.
        pred_iou_thresh: least `predicted_iou`.
        stability_score_thresh: least `stability_score`.
        stability_score_offset: levels above and below a cut that the stability score compares.
        min_mask_region_area: least pixels of a region.
        output_mode: what `segmentation` is: "binary_mask" (H x W bool), "uncompressed_rle" or "coco_rle".
        device: torch device, of a model given by name.
    """

    def __init__(
        self,
        model: Segmenter | str | Path = "default",
        *,
        levels: Sequence[float] = (0.5, 0.65, 0.8),
        pred_iou_thresh: float = 0.0,
        stability_score_thresh: float = 0.0,
        stability_score_offset: float = 0.03,
        min_mask_region_area: int = 0,
        output_mode: str = "binary_mask",
        device: str = "cpu",
    ) -> None:
        if output_mode not in ("binary_mask", "uncompressed_rle", "coco_rle"):
            raise ConfigError(
                f"output_mode {output_mode!r} is unknown; give 'binary_mask', 'uncompressed_rle' or 'coco_rle'"
            )
        if not levels or not all(0 <= level <= 1 for level in levels):
            raise ConfigError(f"levels {tuple(levels)} must be numbers in 0..1; 0 is the finest part, 1 the image")
        self.model = model if isinstance(model, Segmenter) else Segmenter.load(model, device=device)
        self.levels, self.output_mode = tuple(sorted(levels)), output_mode
        self.least = pred_iou_thresh, stability_score_thresh, min_mask_region_area
        self.offset = stability_score_offset
        self._scenes = SceneMaker(self.model, "")

    def generate(self, image: UInt8) -> list[dict[str, Any]]:
        """Records of an H x W x 3 uint8 RGB image, the largest regions first; ImageError for another array.

        Returns:
            One dict per region: `segmentation`, `area` (pixels), `bbox` (XYWH pixels), `predicted_iou` (how well
            the segmenter's answer to a click in its middle, at its level, agrees with it), `point_coords` ([[x, y]]
            of that click), `stability_score` (the IoU of the regions there a little below and above its cut),
            `crop_box` (XYWH: the image), and `level` of its cut, which SAM's have not.
        """
        image = check_image(image)
        size = image.shape[0], image.shape[1]
        scene, records = self._scenes.make(reduced(image)), dict[int, dict[str, Any] | None]()
        for level in self.levels:
            nodes = cut_nodes(scene.tree, level)
            regions, numbers = partition(scene.tree, scene.leaves, level, np.ones(scene.size, bool))
            for number in numbers:
                node = int(nodes[number - 1])
                if node not in records:
                    records[node] = self._record(scene, regions == number, node, level, size)
        kept = [record for record in records.values() if record is not None]
        return sorted(kept, key=lambda record: -record["area"])

    def _record(self, scene: Scene, region: Bool, node: int, level: float, size: Size) -> dict[str, Any] | None:
        """What `generate` says about one region at working size; None where it is below a threshold."""
        stability = _stability(scene.tree, node, level, self.offset)
        mask = to_size(region, size)
        area = int(np.count_nonzero(mask))
        if stability < self.least[1] or area < self.least[2]:
            return None
        y, x = divmod(int(depth_in(region).argmax()), region.shape[1])
        answer = self.model.predict([[x, y]], [1], level=level, encoded=scene.encoded)
        union = np.count_nonzero(region | answer.binary)
        if (agreement := int(np.count_nonzero(region & answer.binary)) / max(int(union), 1)) < self.least[0]:
            return None
        rows, columns = scene.size
        coded: Any = mask
        if self.output_mode != "binary_mask":
            counts = rle.encode(mask) if self.output_mode == "coco_rle" else rle.counts(mask).tolist()
            coded = {"size": list(size), "counts": counts}
        return {
            "segmentation": coded,
            "area": area,
            "bbox": list(cv2.boundingRect(mask.view(np.uint8))),
            "predicted_iou": agreement,
            "point_coords": [[(x + 0.5) * size[1] / columns - 0.5, (y + 0.5) * size[0] / rows - 0.5]],
            "stability_score": stability,
            "crop_box": [0, 0, size[1], size[0]],
            "level": level,
        }


def _stability(tree: MergeTree, node: int, level: float, offset: float) -> float:
    """Share of the region there at `level + offset` that its largest part at `level - offset` makes up."""
    path = tree.ancestors(node)
    above = int(path[tree.level[path] <= max(level + offset, tree.level[node])][-1])
    part = node
    while part >= tree.n_leaves and tree.level[part] > level - offset:
        first, second = tree.children[part - tree.n_leaves]
        part = int(first if tree.area[first] >= tree.area[second] else second)
    return float(tree.area[part] / tree.area[above])


def _logits(probability: Float) -> Float:
    least = 1 / (1 + np.exp(MOST_LOGIT))
    clipped = probability.clip(least, 1 - least)
    return np.asarray(np.log(clipped / (1 - clipped)), np.float32)


def _low(logits: Float) -> Float:
    """256 x 256: the image in the upper left corner, background around it."""
    low = np.full((SIDE, SIDE), -MOST_LOGIT, np.float32)
    height, width = fit_size(logits.shape[:2], SIDE)
    low[:height, :width] = cv2.resize(logits, (width, height), interpolation=cv2.INTER_AREA)
    return low
