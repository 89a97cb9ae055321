"""A method by name, made where it is needed: in this process or in another."""

from dataclasses import dataclass
from pathlib import Path

from clickgrain.evaluation.fingerprint import network_code, source_code
from clickgrain.types import Predictor


@dataclass(frozen=True)
class Method:
    """What answers, as plain values; calling it makes the predictor. Can be handed to other processes.

    Attributes:
        name: "tree", "default", a model folder, a Hugging Face id, or what `load_baseline` takes.
        device: of the model and of the extractor.
        extractor: whose features make the merge trees; None: what the model was trained with.
    """

    name: str
    device: str = "cpu"
    extractor: str | None = None

    def __call__(self) -> Predictor:
        """Make the predictor.

        Raises:
            ConfigError, WeightsError: when it cannot be made.
        """
        from clickgrain.evaluation.baselines import is_baseline, load_baseline

        if is_baseline(self.name):
            return load_baseline(self.name)
        from clickgrain.segmenter import Segmenter

        return Segmenter.load(self.name, device=self.device, extractor=self.extractor)

    @property
    def code(self) -> str:
        """Hash of the method's own code and of the versions of the libraries that it uses.

        The content of weights is not in it. For a baseline it covers its module, those of the baselines that it
        imports and the modules that these take names from; for an import path that one module; for models of ours
        all that networks and trees are made of.
        """
        from clickgrain.evaluation.baselines import BASELINES, ONNX, PREFIX
        from clickgrain.evaluation.baselines.imported import check_import

        if self.name in BASELINES:
            return source_code(BASELINES[self.name].__module__)
        if self.name.startswith(PREFIX):
            return source_code(check_import(self.name))
        if self.name.startswith(ONNX):
            return source_code("clickgrain.evaluation.baselines.onnx_model")
        return network_code()

    @property
    def stamp(self) -> str:
        """ "@" and a hash of the weights, where there are any: tells checkpoints in one folder apart."""
        from clickgrain.evaluation.baselines import ONNX, is_baseline
        from clickgrain.files import hash_file
        from clickgrain.weights import TENSORS, find_model

        if self.name.startswith(ONNX):
            weights = Path(self.name.removeprefix(ONNX))
        elif self.name == "tree" or is_baseline(self.name):
            return ""
        else:
            weights = find_model(self.name) / TENSORS
        return f"@{hash_file(weights)[:8]}" if weights.is_file() else ""  # its absence is reported by the loader

    @property
    def identity(self) -> str:
        """`name`, `stamp` and, where there are trees of ours, the extractor: what results are called."""
        from clickgrain.evaluation.baselines import is_baseline

        trees = f"[{self.extractor}]" if self.extractor and not is_baseline(self.name) else ""
        return f"{self.name}{self.stamp}{trees}"
