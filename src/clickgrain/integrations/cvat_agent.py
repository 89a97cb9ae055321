"""Functions for CVAT's agents: clicks and boxes in, masks out; and all regions of an image as auto-annotation.

`clickgrain serve cvat` runs an agent with them. By hand: `cvat-cli function create-native NAME`, `run-agent` or
`task auto-annotate` with `--function-module clickgrain.integrations.cvat_agent -p kind=str:clicks`.
Contract: `cvat_sdk/auto_annotation/interface.py`.
"""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from clickgrain.errors import ConfigError, DataError
from clickgrain.export import brush_rle, polygons
from clickgrain.sam import SamAutomaticMaskGenerator
from clickgrain.segmenter import Encoded, Segmenter

try:
    import cvat_sdk.auto_annotation as cvat
    from cvat_sdk.models import AttributeValRequest
except ImportError as error:
    raise ConfigError("cvat-sdk is not installed; pip install 'clickgrain[cvat]'") from error

WHOLE_LEVEL = 0.65  # of the regions of a whole image, where none is asked for: about twenty on a photo


class Clicks:
    """An interaction function: the image is encoded once, and every call answers all prompts so far."""

    def __init__(self, segmenter: Segmenter, level: float | None = None) -> None:
        self.segmenter, self.level = segmenter, level
        self.spec = cvat.InteractionFunctionSpec(min_pos_points=0, min_neg_points=0, min_bounding_boxes=0)

    def preprocess_image(self, context: Any, image: Any) -> Encoded:
        """A PIL image, encoded; the agent caches it."""
        return self.segmenter.encode(np.asarray(image.convert("RGB")))

    def detect(self, context: Any, pp_image: Encoded, prompts: Any) -> list[Any]:
        """One mask in CVAT's run lengths with the model's confidence; none where nothing is found."""
        points = [*prompts.pos_points, *prompts.neg_points]
        labels = [1] * len(prompts.pos_points) + [0] * len(prompts.neg_points)
        corners = prompts.bounding_box
        if not points and corners is None:
            return []
        box = None if corners is None else np.ravel(corners)
        mask = self.segmenter.predict(points, labels, box, level=self.level, encoded=pp_image)
        if not mask.binary.any():
            return []
        sure = AttributeValRequest(spec_id=cvat.InteractionResultAttributes.CONFIDENCE, value=f"{mask.score:.4f}")
        points = [float(number) for number in brush_rle.encode_cvat(mask.binary)]
        return [cvat.InteractionResultShape(type="mask", points=points, attributes=[sure])]


class WholeImage:
    """A detection function: every region of the image at one level, with one label."""

    def __init__(self, segmenter: Segmenter, level: float | None = None, label: str = "region") -> None:
        self.segmenter, self.level = segmenter, WHOLE_LEVEL if level is None else level
        self.spec = cvat.DetectionFunctionSpec(labels=[cvat.label_spec(label, 0, type="mask")])

    def detect(self, context: Any, image: Any) -> list[Any]:
        """Masks of a PIL image, or polygons (holes kept) where the context asks for them."""
        least = context.conf_threshold or 0.0
        generator = SamAutomaticMaskGenerator(self.segmenter, levels=(self.level,), pred_iou_thresh=least)
        masks = [record["segmentation"] for record in generator.generate(np.asarray(image.convert("RGB")))]
        if context.conv_mask_to_poly:
            corners = [polygons.joined(polygons.loops(mask)).ravel() for mask in masks]
            return [cvat.polygon(0, [float(number) for number in loop]) for loop in corners]
        return [cvat.mask(0, [float(number) for number in brush_rle.encode_cvat(mask)]) for mask in masks]


def create(
    kind: str = "clicks",
    model: str = "default",
    device: str = "cpu",
    level: float | None = None,
    label: str = "region",
) -> Clicks | WholeImage:
    """The function that `cvat-cli ... --function-module` loads, from its parameters.

    Raises ConfigError: for another kind than "clicks" or "whole-image". WeightsError: the model cannot be found or
    read.
    """
    if kind not in ("clicks", "whole-image"):
        raise ConfigError(f"kind {kind!r} is unknown; give clicks or whole-image")
    segmenter = Segmenter.load(model, device=device)
    return Clicks(segmenter, level) if kind == "clicks" else WholeImage(segmenter, level, label)


def run_agent(url: str, settings: Mapping[str, Any], function: int | None, say: Callable[[str], None]) -> None:
    """Make a function on a CVAT server, unless its number is given, and answer its requests until interrupted.

    cvat-cli logs in, as CVAT_ACCESS_TOKEN or its own settings say. Raises ConfigError: cvat-cli is not installed.
    DataError: it ended with an error, which it printed.
    """
    if importlib.util.find_spec("cvat_cli") is None:
        raise ConfigError("cvat-cli is not installed; pip install 'clickgrain[cvat]'")
    command = [sys.executable, "-m", "cvat_cli", "--server-host", url, "function"]
    loaded = ["--function-module", __name__]
    for name, value in settings.items():
        if value is not None:
            loaded += ["-p", f"{name}={'float' if isinstance(value, float) else 'str'}:{value}"]
    if function is None:
        name = f"clickgrain {settings['kind']} {settings['model']}"
        create = [*command, "create-native", name, *loaded]
        made = subprocess.run(create, stdout=subprocess.PIPE, text=True, check=False)
        if made.returncode or not made.stdout.split():
            raise DataError(f"{url}: the function could not be made; see the lines above, and log in with cvat-cli")
        function = int(made.stdout.split()[-1])
        say(f"function {function}; next time: --function {function}")
    if status := subprocess.run([*command, "run-agent", str(function), *loaded], check=False).returncode:
        raise DataError(f"{url}: the agent of function {function} ended with status {status}; see the lines above")
