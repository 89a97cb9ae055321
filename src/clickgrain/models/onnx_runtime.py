"""Networks of click models, computed by ONNX Runtime: numpy, OpenCV, numba and onnxruntime are enough."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from clickgrain import __version__
from clickgrain.clicks.config import MapSpec
from clickgrain.errors import ConfigError, WeightsError
from clickgrain.features import load_extractor
from clickgrain.files import cache_dir, hash_bytes, hash_file
from clickgrain.models.config import GrainConfig, PaperConfig
from clickgrain.models.grain_engine import GrainEngine
from clickgrain.models.paper_engine import PaperEngine
from clickgrain.types import Engine, Float, UInt8
from clickgrain.weights import CONFIG, TENSORS, find_model, read_config

Precision = Literal["fp32", "fp16", "int8"]
ENCODER, DECODER, FIRST_DECODER = "encoder.onnx", "decoder.onnx", "first_decoder.onnx"
EMBEDDED = "image_embeddings"
# outputs of a grain model's encoder at strides 2, 4, 8 and 16; a paper model's has the last alone
FEATURES = ("high_res_feats_0", "high_res_feats_1", "high_res_feats_2", EMBEDDED)
MAPS, LOGITS, SCORE = "click_maps", "low_res_masks", "iou_predictions"


def need(package: str, what: str) -> None:
    """Import a package of the extra; ConfigError if it is not installed."""
    try:
        __import__(package)
    except ImportError as error:
        fix = "pip install 'clickgrain[onnx]'"
        raise ConfigError(f"{package} is not installed, and {what} needs it: {fix}") from error


def is_onnx(folder: Path) -> bool:
    """Whether a model folder is what `export-model` writes, without weights for torch."""
    return (folder / ENCODER).is_file() and not (folder / TENSORS).is_file()


def onnx_folder(source: str | Path) -> Path:
    """The folder of a model's ONNX files; weights for torch are exported once (fp32, by torch) into the cache."""
    folder = find_model(source)
    if is_onnx(folder):
        return folder
    try:
        parts = [__version__, hash_file(folder / CONFIG), hash_file(folder / TENSORS)]
    except OSError as error:
        raise WeightsError(f"{folder}: holds neither {TENSORS} nor {ENCODER} ({error}); name a model") from error
    cached = cache_dir() / "onnx" / hash_bytes(" ".join(parts).encode())
    if not (cached / CONFIG).is_file():  # written last
        from clickgrain.models.onnx_export import export_onnx
        from clickgrain.models.registry import load_click_model

        export_onnx(load_click_model(folder), cached)
    return cached


def onnx_engine(source: str | Path, extractor: str | None = None) -> Engine:
    """What answers clicks with a model by ONNX Runtime; see `onnx_folder`."""
    folder = onnx_folder(source)
    try:
        network = _network(folder)
    except WeightsError:
        if folder == find_model(source):
            raise
        shutil.rmtree(folder)  # it is only a cache: what is damaged is made again
        network = _network(onnx_folder(source))
    if isinstance(network, OnnxPaper):
        return PaperEngine(network)
    return GrainEngine(network, load_extractor(extractor or network.config.tree))


def _network(folder: Path) -> "OnnxGrain | OnnxPaper":
    return (OnnxPaper if read_config(folder).get("kind") == "paper" else OnnxGrain)(folder)


class _OnnxNetwork:
    """Both graphs of a model on the CPU; ConfigError without onnxruntime, WeightsError for a wrong file."""

    settings: type[GrainConfig | PaperConfig]

    def __init__(self, folder: str | Path) -> None:
        need("onnxruntime", "--runtime onnx")
        self.folder = Path(folder)
        config = read_config(self.folder)
        config.pop("precision", None)
        try:
            self.config: Any = self.settings.from_json(config)
        except ConfigError as error:
            raise WeightsError(f"{folder}: {error}") from error
        self.map_spec: MapSpec = self.config.map_spec
        self.encoder = session(self.folder / ENCODER)
        self.decoder = self.opened(DECODER, getattr(self.config, "maps", self.map_spec.names))

    def opened(self, name: str, maps: Sequence[str]) -> Any:
        """The session of a decoder that must take these click maps."""
        decoder = session(self.folder / name)
        channels = {value.name: value.shape[1] for value in decoder.get_inputs()}.get(MAPS)
        if channels != len(maps):
            takes = f"takes {channels} click maps, {CONFIG} names {len(maps)}"
            fix = "they are of two models: export one again with `clickgrain export-model`"
            raise WeightsError(f"{self.folder / name}: {takes}; {fix}")
        return decoder


class OnnxGrain(_OnnxNetwork):
    """A `GrainNetwork` (`clickgrain.models.grain_engine`)."""

    settings = GrainConfig

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        if self.config.first_maps:
            self.first = self.opened(FIRST_DECODER, self.config.first_maps)

    def encode(self, pixels: Float) -> tuple[Float, ...]:
        """Features of 1 x 3 x H x W RGB in 0..255."""
        return tuple(self.encoder.run(FEATURES, {"image": np.ascontiguousarray(pixels)}))

    def decode(self, features: tuple[Float, ...], maps: Float) -> tuple[Float, Float]:
        """M x h x w logits and M expected IoUs for M x C x h x w click maps."""
        first, columns = self.config.decoder_for(maps)
        given = {**dict(zip(FEATURES, features)), MAPS: maps[:, columns]}
        logits, score = (self.first if first else self.decoder).run((LOGITS, SCORE), given)
        return logits[:, 0], score[:, 0]


class OnnxPaper(_OnnxNetwork):
    """A `PaperNetwork` (`clickgrain.models.paper_engine`)."""

    settings = PaperConfig

    def put(self, values: Float | UInt8) -> Float | UInt8:
        """The array itself: ONNX Runtime computes in main memory."""
        return values

    def decode(self, pixels: Float, maps: Float) -> tuple[Float, Float]:
        """B x 1 x S x S logits and B scores for B x 3 x S x S RGB in 0..255 and click maps."""
        (embedded,) = self.encoder.run((EMBEDDED,), {"image": np.ascontiguousarray(pixels)})
        logits, score = self.decoder.run((LOGITS, SCORE), {EMBEDDED: embedded, MAPS: maps})
        return logits, score[:, 0]


def session(file: Path, remedy: str = "write it again with `clickgrain export-model`") -> Any:
    """An ONNX Runtime session on the CPU; WeightsError, with the remedy, for a file that it cannot load."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 0  # leaves the choice to the runtime
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # docs/adr/0005-threads.md
    options.log_severity_level = 4  # what goes wrong is raised, too
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has an exception for each kind of damage
        raise WeightsError(f"{file}: cannot be loaded ({' '.join(str(error).split())}); {remedy}") from error
