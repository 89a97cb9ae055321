"""Clicks without torch: `Predictor` runs on numpy, OpenCV, numba and onnxruntime (docs/onnx.md: all it needs)."""

from pathlib import Path

from clickgrain.models.onnx_runtime import onnx_engine
from clickgrain.segmenter import DEFAULT_CUT, Segmenter


class Predictor(Segmenter):
    """A `Segmenter` on what `clickgrain export-model` wrote.

    ```python
    seg = Predictor("my-onnx")
    seg.set_image(clickgrain.read_image("cat.jpg"))  # H x W x 3 uint8 RGB
    mask = seg.predict([[220, 120]], [1])  # N x 2 (x, y) pixels, N of 1 (object) or 0
    mask.binary  # H x W bool
    ```

    `source` is the folder; weights for torch ("default", a model folder or a Hugging Face id) are exported into the
    cache when they are used first, which needs torch that once. `cut` says whether discriminant, guard and cut
    follow the network (`clickgrain.cut`). Raises ConfigError: onnxruntime is not installed, or the model cannot be
    exported; WeightsError: there is no such model, or a file is damaged.
    """

    def __init__(self, source: str | Path = "default", *, cut: bool = True) -> None:
        super().__init__(onnx_engine(source), str(source), cut=DEFAULT_CUT if cut else None)
