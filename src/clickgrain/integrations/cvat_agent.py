"""Functions for CVAT's agents: clicks and boxes in, masks out; as auto-annotation all regions of an image, or those
that look like the objects of a project.

`clickgrain serve cvat` runs an agent with them. By hand: `cvat-cli function create-native NAME`, `run-agent` or
`task auto-annotate` with `--function-module clickgrain.integrations.cvat_agent -p kind=str:clicks`.
Contract: `cvat_sdk/auto_annotation/interface.py`.
"""

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from clickgrain.annotate.find_same import Wanted, describe, find_nodes
from clickgrain.annotate.project import open_project
from clickgrain.annotate.transfer import image_records
from clickgrain.cut import cut_region
from clickgrain.errors import ClickgrainError, ConfigError, DataError, ImageError
from clickgrain.export import brush_rle, polygons
from clickgrain.images.pixels import to_rgb
from clickgrain.images.reader import MAX_PIXELS
from clickgrain.integrations.prompts import clipped, onto_image
from clickgrain.sam import SamAutomaticMaskGenerator
from clickgrain.scene import SceneMaker
from clickgrain.segmenter import Encoded, Segmenter, reduced
from clickgrain.tree.leaf_map import to_size
from clickgrain.types import Bool, UInt8

try:
    import cvat_sdk.auto_annotation as cvat
    from cvat_sdk.models import AttributeValRequest
except ImportError as error:
    raise ConfigError("cvat-sdk is not installed; pip install 'clickgrain[cvat]'") from error

WHOLE_LEVEL = 0.65  # of the regions of a whole image, where none is asked for: about twenty on a photo
SAME_SCORE = 0.3  # least likeness of the same, where CVAT gives no threshold
ENDING = 20.0  # seconds that an agent has for what it began, once it is asked to end
MOST_EXAMPLES = 20  # objects of a label that are looked for


@contextmanager
def told() -> Iterator[None]:
    """What cannot be answered as the error whose text CVAT shows to the annotator; of others it says "unknown"."""
    try:
        yield
    except ClickgrainError as error:
        raise cvat.BadFunctionError(str(error)) from None


class Clicks:
    """An interaction function: the image is encoded once, and every call answers all prompts so far."""

    def __init__(self, segmenter: Segmenter, level: float | None = None) -> None:
        self.segmenter, self.level = segmenter, level
        self.spec = cvat.InteractionFunctionSpec(min_pos_points=0, min_neg_points=0, min_bounding_boxes=0)

    @told()
    def preprocess_image(self, context: Any, image: Any) -> Encoded:
        """A PIL image, encoded; the agent caches it."""
        return self.segmenter.encode(rgb_of(image))

    @told()
    def detect(self, context: Any, pp_image: Encoded, prompts: Any) -> list[Any]:
        """One mask in CVAT's run lengths with the model's confidence; none where nothing is found."""
        points = onto_image([*prompts.pos_points, *prompts.neg_points], pp_image.size)
        labels = [1] * len(prompts.pos_points) + [0] * len(prompts.neg_points)
        box = clipped(prompts.bounding_box, pp_image.size)
        if not len(points) and box is None:
            return []
        mask = self.segmenter.predict(points, labels, box, level=self.level, encoded=pp_image)
        if not mask.binary.any():
            return []
        sure = AttributeValRequest(spec_id=cvat.InteractionResultAttributes.CONFIDENCE, value=f"{mask.score:.4f}")
        runs = brush_rle.encode_cvat(mask.binary)
        return [cvat.InteractionResultShape(type="mask", points=runs, attributes=[sure])]


class WholeImage:
    """A detection function: every region of the image at one level, with one label."""

    def __init__(self, segmenter: Segmenter, level: float | None = None, label: str = "region") -> None:
        self.segmenter, self.level = segmenter, WHOLE_LEVEL if level is None else level
        self.spec = cvat.DetectionFunctionSpec(labels=[cvat.label_spec(label, 0, type="mask")])

    @told()
    def detect(self, context: Any, image: Any) -> list[Any]:
        """Masks of a PIL image, or polygons (holes kept) where the context asks for them."""
        least = context.conf_threshold or 0.0
        generator = SamAutomaticMaskGenerator(self.segmenter, levels=(self.level,), pred_iou_thresh=least)
        return [_shape(record["segmentation"], 0, context) for record in generator.generate(rgb_of(image))]


class Same:
    """A detection function: regions that look like the labelled objects of a project (*Find the same*).

    The segmenter's trees hold the regions, and features of its extractor are compared. `project` is a folder of
    annotated photos, or its project file; at most `MOST_EXAMPLES` objects of a label count. Raises DataError: no
    such project, or none of its objects has a label and a readable photo.
    """

    def __init__(self, segmenter: Segmenter, project: Path) -> None:
        self.maker, self.examples = SceneMaker(segmenter, ""), list[tuple[int, Wanted]]()
        numbers, left_out = dict[str, int](), list[str]()
        with closing(open_project(project, model="tree")) as opened:
            for record in image_records(opened, left_out=left_out):
                objects = [one for one in record.objects() if one.label and one.mask.any()]
                if not objects:
                    continue
                try:
                    photo = opened.gallery.load(opened.gallery.find(record.name) or 0).pixels
                except ImageError as error:
                    left_out.append(str(error))
                    continue
                tree, features = self.maker.tree_of(photo)
                for one in objects:
                    number = numbers.setdefault(one.label or "", len(numbers))
                    if sum(known == number for known, _ in self.examples) < MOST_EXAMPLES:
                        mask = one.mask.astype(np.float32)
                        covered = cv2.resize(mask, tree.grid[::-1], interpolation=cv2.INTER_AREA)
                        self.examples.append((number, describe(features, covered.reshape(tree.grid))))
        if not self.examples:
            why = " ".join(left_out[:3]) or "annotate a few of each"
            raise DataError(f"{project}: no object with a label; {why}")
        labels = [cvat.label_spec(name, number, type="mask") for name, number in numbers.items()]
        self.spec = cvat.DetectionFunctionSpec(labels=labels)

    @told()
    def detect(self, context: Any, image: Any) -> list[Any]:
        """Masks of a PIL image with the label of the example that each is most like; no pixel is in two of them."""
        pixels = rgb_of(image)
        (tree, features), small = self.maker.tree_of(pixels), reduced(pixels)
        least = SAME_SCORE if context.conf_threshold is None else context.conf_threshold
        nothing = np.zeros(tree.grid, bool)
        found = [
            (one.score, one.node, number)
            for number, wanted in self.examples
            for one in find_nodes(tree, features, wanted, nothing)
            if one.score >= least
        ]
        shapes, taken = [], np.zeros(tree.image_size, bool)
        leaves = nothing.ravel()
        for _, node, number in sorted(found, reverse=True):
            if leaves[tree.leaves(node)].any():
                continue
            leaves[tree.leaves(node)] = True
            mask = to_size(cut_region(tree.mask(node).astype(np.float32), small), tree.image_size) & ~taken
            taken |= mask
            if mask.any():
                shapes.append(_shape(mask, number, context))
        return shapes


def rgb_of(image: Any) -> UInt8:
    """H x W x 3 uint8 RGB of a PIL image as `read_image` makes it (Pillow clips 16 bits); ImageError: too large."""
    if (pixels := image.width * image.height) > MAX_PIXELS:
        raise ImageError(f"an image of {pixels / 1e6:.0f} megapixels is over the limit of {MAX_PIXELS / 1e6:.0f}")
    if image.mode[0] in "IF":
        return to_rgb(np.asarray(image)[..., None], [])
    if image.has_transparency_data:
        return to_rgb(np.asarray(image.convert("RGBA")), [], alpha=True)
    return np.asarray(image.convert("RGB"))


def _shape(mask: Bool, label: int, context: Any) -> Any:
    """A mask as CVAT's run lengths, or as one polygon (holes kept) where the context asks for polygons."""
    if context.conv_mask_to_poly:
        return cvat.polygon(label, polygons.joined(polygons.loops(mask)).ravel().astype(float).tolist())
    return cvat.mask(label, brush_rle.encode_cvat(mask))


def create(
    kind: str = "clicks",
    model: str = "default",
    device: str = "cpu",
    level: float | None = None,
    label: str = "region",
    project: str | None = None,
) -> Clicks | WholeImage | Same:
    """The function that `cvat-cli ... --function-module` loads, from its parameters.

    Raises ConfigError: for another kind than "clicks", "whole-image" or "same", or "same" without a project.
    DataError: see `Same`. WeightsError: the model cannot be found or read.
    """
    if kind not in ("clicks", "whole-image", "same"):
        raise ConfigError(f"kind {kind!r} is unknown; give clicks, whole-image or same")
    if kind == "same" and project is None:
        raise ConfigError("kind same needs a project with labelled objects; give -p project=str:FOLDER")
    segmenter = Segmenter.load(model, device=device)
    if kind == "same":
        return Same(segmenter, Path(project or ""))
    return Clicks(segmenter, level) if kind == "clicks" else WholeImage(segmenter, level, label)


def run_agent(url: str, settings: Mapping[str, Any], function: int | None, say: Callable[[str], None]) -> None:
    """Make a function on a CVAT server, unless its number is given, and answer its requests until interrupted.

    cvat-cli logs in, as CVAT_ACCESS_TOKEN or its own settings say. Raises ConfigError: cvat-cli is not installed.
    DataError: it ended with an error, which it printed. And what `create` raises.
    """
    if importlib.util.find_spec("cvat_cli") is None:
        raise ConfigError("cvat-cli is not installed; pip install 'clickgrain[cvat]'")
    create(**settings)  # a mistake in them is a sentence here, in cvat-cli it would be a stack trace
    command = [sys.executable, "-m", "cvat_cli", "--server-host", url, "function"]
    loaded = ["--function-module", __name__]
    for name, value in settings.items():
        if value is not None:
            loaded += ["-p", f"{name}={'float' if isinstance(value, float) else 'str'}:{value}"]
    if function is None:
        name = f"clickgrain {settings['kind']} {settings['model']}"
        making = [*command, "create-native", name, *loaded]
        made = subprocess.run(making, stdout=subprocess.PIPE, text=True, check=False)
        if made.returncode or not made.stdout.split():
            raise DataError(f"{url}: the function could not be made; see the lines above, and log in with cvat-cli")
        function = int(made.stdout.split()[-1])
        say(f"function {function}; next time: --function {function}")
    # away from the terminal: it gets one Ctrl-C, ours, and the time to end its worker
    with subprocess.Popen([*command, "run-agent", str(function), *loaded], start_new_session=True) as agent:
        try:
            status = agent.wait()
        except KeyboardInterrupt:
            agent.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                agent.wait(ENDING)
            agent.kill()
            raise
    if status:
        raise DataError(f"{url}: the agent of function {function} ended with status {status}; see the lines above")
