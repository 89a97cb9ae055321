"""A method by name, made where it is needed: in this process or in another."""

from dataclasses import dataclass
from pathlib import Path

from clickgrain.evaluation.baselines import is_baseline, load_baseline
from clickgrain.evaluation.baselines.external import ONNX, PREFIX, find_object, onnx_files
from clickgrain.files import hash_bytes, hash_file
from clickgrain.models.onnx_runtime import DECODER, is_onnx
from clickgrain.segmenter import Segmenter
from clickgrain.types import Predictor
from clickgrain.weights import TENSORS, find_model


@dataclass(frozen=True)
class Method:
    """A method as plain values, which other processes can be given; calling it makes the predictor."""

    name: str  # "tree", "default", a model folder, a Hugging Face id, or what `load_baseline` takes
    device: str = "cpu"  # of the model and of the extractor
    extractor: str | None = None  # whose features make the merge trees; None: what the model was trained with
    cut: bool = True  # whether `clickgrain.cut` follows the model; baselines go without

    def __call__(self) -> Predictor:
        """Make the predictor; ConfigError or WeightsError when that fails."""
        if is_baseline(self.name):
            return load_baseline(self.name)
        return Segmenter.load(self.name, device=self.device, extractor=self.extractor, cut=self.cut)

    @property
    def stamp(self) -> str:
        """ "@" and a hash of the weights, or of the module of an import path; raises as `__call__`."""
        if self.name.startswith(ONNX):
            files = onnx_files(self.name)
        elif self.name.startswith(PREFIX):
            files = [Path(getattr(find_object(self.name)[0], "__file__", None) or "")]
        elif self.name == "tree" or is_baseline(self.name):
            return ""
        else:
            folder = find_model(self.name)
            files = [folder / (DECODER if is_onnx(folder) else TENSORS)]
        if not all(file.is_file() for file in files):
            return ""  # the loader reports a missing file
        hashes = [hash_file(file) for file in files]
        return f"@{(hashes[0] if len(hashes) == 1 else hash_bytes(' '.join(hashes).encode()))[:8]}"

    @property
    def identity(self) -> str:
        """What results are called: `name`, `stamp` and, for our models, the other settings; raises as `stamp`."""
        asked = [*([self.extractor] if self.extractor else []), *([] if self.cut else ["no cut"])]
        more = f"[{', '.join(asked)}]" if asked and not is_baseline(self.name) else ""
        return f"{self.name}{self.stamp}{more}"
