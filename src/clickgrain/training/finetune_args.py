"""Settings of `finetune`, without torch."""

from dataclasses import dataclass
from pathlib import Path

from clickgrain.errors import ConfigError
from clickgrain.training.learn_args import Precision, RecipeName, check_numbers


@dataclass(frozen=True)
class FinetuneArgs:
    """Fine-tune a click model on photos with masks. Run again to go on after a stop.

    Attributes:
        photos: folder with images/<id>.* and masks/<id>#<k>.png, or NAME=DIR for a set that is known by name.
        out: folder for the model and all that is needed to go on.
        labels: share of the labelled images to train on, above 0, up to 1; smaller shares are parts of larger ones.
        start: the trained model to start from: "default", a model folder or a Hugging Face id.
        from_scratch: start from fresh weights instead.
        recipe: settings of training, and the network of a model from scratch.
        extractor: whose features make the merge trees of a model from scratch; others keep their own.
        device: auto, cpu, cuda or another torch device.
        precision: of the network; auto is bf16 where this device gains by it, else float32. A run keeps its own.
        steps: a quarter of the recipe's when None.
        batch: crops per step.
        crop: side of the crops in pixels.
        lr: peak learning rate; the recipe's from scratch, a quarter of it from trained weights when None.
        seed: of everything random, the choice of images included.
    """

    photos: str
    out: Path
    labels: float = 1.0
    start: str | None = None
    from_scratch: bool = False
    recipe: RecipeName = "auto"
    extractor: str = "default"
    device: str = "auto"
    precision: Precision = "auto"
    steps: int | None = None
    batch: int | None = None
    crop: int | None = None
    lr: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.labels <= 1:
            raise ConfigError(f"--labels {self.labels:g} is no share; give e.g. 0.05 for 5 %, or 1 for all")
        if self.from_scratch and self.start is not None:
            raise ConfigError("--from and --from-scratch contradict each other; give one of them")
        if self.seed < 0:
            raise ConfigError(f"--seed {self.seed} must be 0 or more")
        check_numbers(self.steps, self.batch, self.crop, self.lr)


def named_set(text: str) -> tuple[str, Path]:
    """ "NAME=DIR" as its two parts; a folder alone is called "labelled" and has the generic layout."""
    name, sign, folder = text.partition("=")
    if sign and name.strip() and folder and not Path(text).is_dir():
        return name.strip(), Path(folder).expanduser()
    return "labelled", Path(text).expanduser()
