"""What a small network sees in each part of an image: it holds together what color and texture part."""

import threading
from importlib.resources import files

import cv2
import numpy as np

from clickgrain.errors import WeightsError
from clickgrain.images import fit_size, resize
from clickgrain.types import Float, UInt8

NETWORK = "data/semantic.onnx"
LONG_SIDE = 320


class SemanticNetwork:
    """A network that was distilled from a self-supervised ResNet-50, which has seen photos and no label.

    `tools/distill_features.py` makes it; docs/model-card.md says of what. OpenCV computes it, so that it needs no
    torch and is the same under every runtime.
    """

    def __init__(self) -> None:
        self.weights = np.frombuffer(files("clickgrain").joinpath(NETWORK).read_bytes(), np.uint8)
        self.networks = threading.local()  # OpenCV's networks hold what they compute

    def __call__(self, image: UInt8) -> Float:
        """h x w x 48 float32 unit vectors of an H x W x 3 uint8 RGB image, one for every 16 pixels of 320."""
        if not hasattr(self.networks, "own"):
            try:
                self.networks.own = cv2.dnn.readNetFromONNX(self.weights)
            except cv2.error as error:
                reader = f"OpenCV {cv2.__version__}"
                raise WeightsError(f"{NETWORK} cannot be read by {reader}; install clickgrain again") from error
        size = fit_size((image.shape[0], image.shape[1]), LONG_SIDE, 32)
        pixels = np.asarray(resize(image, size), np.float32).transpose(2, 0, 1)[None]
        self.networks.own.setInput(np.ascontiguousarray(pixels), "image")
        found = self.networks.own.forward("features")[0]
        vectors = found / np.maximum(np.linalg.norm(found, axis=0), np.float32(1e-6))
        return np.ascontiguousarray(vectors.transpose(1, 2, 0))
