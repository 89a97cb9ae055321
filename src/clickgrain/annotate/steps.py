"""Steps: what a user did to one object, in order. The object's mask is a fold over them (`folding`).

Points are (x, y) pixels of the picture, boxes XYXY pixels, levels 0..1.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

MAX_POINTS = 20_000
MAX_STEPS = 1_000

Coordinate = Annotated[float, Field(ge=0, lt=65_536, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=0, le=1)]
Level = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Path = Annotated[tuple[tuple[Coordinate, Coordinate], ...], Field(min_length=1, max_length=MAX_POINTS)]
MaskHash = Annotated[str, Field(pattern=r"^[0-9a-f]{20}$")]


class Strict(BaseModel):
    """Frozen; unknown keys are refused, and numbers that are none."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Click(Strict):
    """A click at (x, y): label 1 on the object, 0 on the background."""

    type: Literal["click"] = "click"
    x: Coordinate
    y: Coordinate
    label: Side = 1


class BoxStep(Strict):
    """A box around the object."""

    type: Literal["box"] = "box"
    box: tuple[Coordinate, Coordinate, Coordinate, Coordinate]


class ScribbleStep(Strict):
    """A stroke over the object (1) or the background (0)."""

    type: Literal["scribble"] = "scribble"
    points: Path
    label: Side = 1


class LevelStep(Strict):
    """How coarse a region is wanted from here on; None lets the model choose."""

    type: Literal["level"] = "level"
    level: Level | None


class RegionStep(Strict):
    """Exactly the tree's region over (x, y) at a level, as hovering shows it. Counts as a positive click.

    An object that begins with one asks for its level from then on.
    """

    type: Literal["region"] = "region"
    x: Coordinate
    y: Coordinate
    level: Level


class ChooseStep(Strict):
    """One of the other readings that were offered for what came before."""

    type: Literal["choose"] = "choose"
    alternative: Annotated[int, Field(ge=0, le=2)]


class BrushStep(Strict):
    """Pixels painted (1) or erased (0) along a stroke of a round brush."""

    type: Literal["brush"] = "brush"
    points: Path
    radius: Annotated[float, Field(gt=0, le=2_000, allow_inf_nan=False)]
    label: Side = 1


class MaskStep(Strict):
    """A given mask: imported, taken from the tree, or made from other objects. Only the server makes these."""

    type: Literal["mask"] = "mask"
    mask: MaskHash


Step = Annotated[
    Click | BoxStep | ScribbleStep | LevelStep | RegionStep | ChooseStep | BrushStep | MaskStep,
    Field(discriminator="type"),
]
Steps = tuple[Step, ...]
STEPS: TypeAdapter[Steps] = TypeAdapter(Steps)

CLICKS = ("click", "region", "box", "scribble", "choose", "brush")
"""Steps that cost the user a press of the button; a level is turned by the wheel."""


def count_clicks(steps: Steps) -> int:
    """Presses of the button that made an object."""
    return sum(step.type in CLICKS for step in steps)
