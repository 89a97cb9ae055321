"""What baselines share: a checked image and prompt."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy.typing as npt

from clickgrain.errors import PromptError
from clickgrain.images import check_image
from clickgrain.types import Float, Mask, Prompt, Scribble, Size, UInt8


class Prompted(ABC):
    """A `Predictor` that answers one image at a time."""

    name: str
    size: Size | None = None  # (height, width) of the image that is set

    def set_image(self, image: UInt8) -> None:
        """Take an H x W x 3 uint8 RGB image; ImageError if the array is no such image."""
        image = check_image(image)
        self._prepare(image)
        self.size = (image.shape[0], image.shape[1])

    def predict(
        self,
        points: npt.ArrayLike | None,
        labels: npt.ArrayLike | None,
        box: npt.ArrayLike | None = None,
        scribbles: Sequence[Scribble] | None = None,
        level: float | None = None,
        previous: "Mask | Float | None" = None,
    ) -> Mask:
        """As `Predictor.predict`; PromptError before `set_image`, and for what the method does not take."""
        if self.size is None:
            raise PromptError("no image has been set; call set_image(image) first")
        prompt = Prompt.of(points, labels, size=self.size, box=box, scribbles=scribbles, level=level)
        return self._answer(prompt, self.size, previous)

    @abstractmethod
    def _prepare(self, image: UInt8) -> None:
        """Compute what depends on the H x W x 3 uint8 image only."""

    @abstractmethod
    def _answer(self, prompt: Prompt, size: Size, previous: "Mask | Float | None") -> Mask:
        """The answer at the image's (height, width)."""
