"""From a trained model to ONNX files that need no torch: `encoder.onnx`, `decoder.onnx` and `config.json`.

Names are those of SAM's and SAM 2's exports where they mean the same: `image_embeddings` (the coarsest features),
`high_res_feats_0` to `_2` (finer ones), `low_res_masks` (logits at half the working size), `iou_predictions`.
`click_maps` stands where SAM has points: they need the image's merge tree, which is no network.
"""

import json
import logging
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clickgrain import __version__
from clickgrain.errors import ConfigError
from clickgrain.features import load_extractor
from clickgrain.files import atomic_write
from clickgrain.images import ReadReport, find_images, read_images, resize_long_side
from clickgrain.models import onnx_runtime as runtime
from clickgrain.models.base import ClickModel
from clickgrain.models.grain import GrainDecoder, GrainModel, TorchGrain
from clickgrain.models.grain_engine import GrainEngine
from clickgrain.models.paper import PaperModel
from clickgrain.types import Float, Prompt, UInt8
from clickgrain.weights import CONFIG, FORMAT

# photos of scikit-image that int8 is calibrated on unless others are given
BUNDLED = ("astronaut.png", "chelsea.png", "coffee.png", "ihc.png", "motorcycle_left.png", "rocket.jpg")
MOST_PHOTOS, LABELS = 32, [1, 1, 0, 1, 0, 1]  # photos, and labels of the clicks in each, to calibrate on
Feeds = dict[str, Float]


class _Encoder(nn.Module):
    def __init__(self, model: ClickModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.model.encode(image)


class _Decoder(nn.Module):
    def __init__(self, decoder: GrainDecoder | PaperModel) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        decode = self.decoder if isinstance(self.decoder, GrainDecoder) else self.decoder.decode
        decoded = decode(given[:-1], given[-1])
        return decoded.logits, decoded.score[:, None]


def export_onnx(
    model: ClickModel,
    folder: str | Path,
    *,
    # "fp16" and "int8" (of convolutions alone) are for size and for devices that compute them; inputs and outputs
    # stay float32
    precision: runtime.Precision = "fp32",
    photos: str | Path | None = None,  # for int8, a folder of photos (at most 32 are used); None: bundled ones
    notes: list[str] | None = None,  # takes a line about photos that could not be read
) -> None:
    """Write a model as ONNX, `config.json` last; ConfigError: another kind of model, or a package is missing."""
    if not isinstance(model, GrainModel | PaperModel):
        raise ConfigError(f"a {type(model).__name__} cannot be exported; export a grain or a paper model")
    if isinstance(model, PaperModel) and precision == "int8":
        raise ConfigError("--precision int8 is of convolutions, of which a paper model has few; choose fp16")
    if isinstance(model, GrainModel) and model.config.tree != "color-texture":
        reason = f"the trees of {model.config.tree!r} need torch at every image, so ONNX files alone would not do"
        raise ConfigError(f"{reason}; export a model that was trained with --extractor color-texture")
    for package in ("onnx", "onnxscript", "onnxruntime"):
        runtime.need(package, "`clickgrain export-model`")
    model = model.cpu().eval()
    graphs = _graphs(model)
    if precision == "fp16":
        from onnxruntime.transformers.float16 import convert_float_to_float16

        graphs = {name: convert_float_to_float16(graph, keep_io_types=True) for name, graph in graphs.items()}
    elif precision == "int8" and isinstance(model, GrainModel):
        graphs = _quantized(graphs, model, _photos(photos, [] if notes is None else notes))
    for name, graph in graphs.items():
        atomic_write(Path(folder) / name, graph.SerializeToString())
    described = {**model.config.to_json(), "precision": precision, "format": FORMAT, "clickgrain": __version__}
    atomic_write(Path(folder) / CONFIG, (json.dumps(described, indent=2) + "\n").encode())


def _graphs(model: GrainModel | PaperModel) -> dict[str, Any]:
    """ONNX graphs by file name, for images of any size that the model takes and any number of prompts."""
    from torch.export import Dim

    height, width, prompts = Dim("height", min=1, max=256), Dim("width", min=1, max=256), Dim("prompts", max=4096)
    features: tuple[str, ...]
    image: dict[int, Any]  # its free sides, by axis; then those of features and maps
    if isinstance(model, GrainModel):  # any number of prompts on one image
        features, pixels = runtime.FEATURES, torch.zeros(1, 3, 128, 192)
        image, *free = [{2: stride * height, 3: stride * width} for stride in (32, 16, 8, 4, 2, 16)]
        free[-1][0] = prompts
        decoders = {runtime.DECODER: (_Decoder(model.decoder), torch.zeros(3, len(model.config.maps), 64, 96))}
        if model.first is not None:
            maps = torch.zeros(3, len(model.config.first_maps), 64, 96)
            decoders[runtime.FIRST_DECODER] = (_Decoder(model.first), maps)
    else:  # an image for every prompt: clicks enter with the pixels
        step, features = model.config.step, (runtime.EMBEDDED,)
        pixels = torch.zeros(3, 3, 3 * step, 4 * step)
        decoders = {runtime.DECODER: (_Decoder(model), pixels)}
        image = {0: prompts, 2: step * height, 3: step * width}
        free = [image, image]
    with torch.no_grad():
        encoded = model.encode(pixels)
    graphs = {runtime.ENCODER: _graph(_Encoder(model), (pixels,), ["image"], (image,), features)}
    names, outputs = [*features, runtime.MAPS], (runtime.LOGITS, runtime.SCORE)
    for name, (decoder, maps) in decoders.items():
        graphs[name] = _graph(decoder, (*encoded, maps), names, (tuple(free),), outputs)
    return graphs


def _graph(
    module: nn.Module, given: tuple[Tensor, ...], names: list[str], free: tuple[Any, ...], outputs: Sequence[str]
) -> Any:
    options: dict[str, Any] = {"dynamic_shapes": free, "input_names": names, "output_names": list(outputs)}
    with _quiet():
        program = torch.onnx.export(module.eval(), given, dynamo=True, opset_version=18, verbose=False, **options)
    assert program is not None
    model = program.model_proto  # another one at every access
    for part in (*model.graph.node, *model.graph.value_info, model.graph):
        del part.metadata_props[:]  # where in which file of this machine each node came from
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """torch's exporter warns of its internals and of packages that it does not need."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)


def _photos(folder: str | Path | None, notes: list[str]) -> list[UInt8]:
    """Photos to calibrate on, up to 32, evenly spread over the folder."""
    if folder is None:
        paths = [Path(str(files("skimage.data") / name)) for name in BUNDLED]
        return [image for _, image in read_images([path for path in paths if path.is_file()])]
    report, every = ReadReport(), find_images(folder)
    chosen = every[:: max(1, len(every) // MOST_PHOTOS)][:MOST_PHOTOS]
    found = [resize_long_side(image, 640) for _, image in read_images(chosen, report=report)]
    notes += [message for _, message in report.bad]
    if not found:
        raise ConfigError(f"{folder}: no photo to calibrate on; {' '.join(notes) or 'name a folder of photos'}")
    return found


class _Recorder(TorchGrain):
    """Keeps what encoder and decoder are given."""

    def __init__(self, model: GrainModel) -> None:
        super().__init__(model)
        self.seen: defaultdict[str, list[Feeds]] = defaultdict(list)

    def encode(self, pixels: Float) -> tuple[Tensor, ...]:
        self.seen[runtime.ENCODER].append({"image": np.ascontiguousarray(pixels)})
        return super().encode(pixels)

    def decode(self, features: tuple[Tensor, ...], maps: Float) -> tuple[Float, Float]:
        first, columns = self.config.decoder_for(maps)
        seen = {name: feature.numpy() for name, feature in zip(runtime.FEATURES, features)}
        name = runtime.FIRST_DECODER if first else runtime.DECODER
        self.seen[name].append({**seen, runtime.MAPS: maps[:, columns]})
        return super().decode(features, maps)


def _quantized(graphs: dict[str, Any], model: GrainModel, photos: Sequence[UInt8]) -> dict[str, Any]:
    """Graphs whose convolutions take 8-bit weights and activations, by their ranges at random clicks in photos.

    Weights have 7 bits: the products of 8-bit ones overflow on processors without VNNI. The logits' own two
    convolutions stay in float32.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self, feeds: list[Feeds]) -> None:
            self.feeds = iter(feeds)

        def get_next(self) -> Feeds | None:
            return next(self.feeds, None)

    recorder, rng = _Recorder(model), np.random.default_rng(0)
    engine = GrainEngine(recorder, load_extractor(model.config.tree))
    for photo in photos:
        encoded, mask = engine.encode(photo), None
        size = photo.shape[0], photo.shape[1]
        points = rng.uniform((0, 0), (size[1] - 1, size[0] - 1), (len(LABELS), 2))
        for k in range(1, len(LABELS) + 1):
            mask = engine.answer(encoded, Prompt.of(points[:k], LABELS[:k], size=size), mask)
    quantized = {}
    with tempfile.TemporaryDirectory() as folder, _quiet():
        for name, graph in graphs.items():
            last = [n.name for n in graph.graph.node if any("head" in i or "shortcut" in i for i in n.input)]
            target = Path(folder) / name
            quantize_static(
                graph,
                target,
                Reader(recorder.seen[name]),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=last,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
            quantized[name] = onnx.load(target)
    return quantized
