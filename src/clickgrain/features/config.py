"""Sizes of the grain encoder, and whether the values of a config.json are those of a settings class; no torch."""

from dataclasses import dataclass, fields, is_dataclass
from reprlib import repr as shortened
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from clickgrain.errors import ConfigError

STRIDES = (2, 4, 8, 16, 32)
WIDEST, DEEPEST = 4096, 100
"""More channels or blocks than any encoder of this kind needs; what has more is no config but damage."""


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the encoder."""

    widths: tuple[int, ...] = (16, 32, 64, 128, 160)  # channels at strides 2, 4, 8, 16, 32
    depths: tuple[int, ...] = (1, 1, 2, 2, 2)  # residual blocks at each of them

    def __post_init__(self) -> None:
        for name, values, most in (("widths", self.widths, WIDEST), ("depths", self.depths, DEEPEST)):
            object.__setattr__(self, name, tuple(values))
            if len(values) != len(STRIDES) or not all(1 <= value <= most for value in values):
                raise ConfigError(
                    f"--encoder.{name} {values} must be {len(STRIDES)} positive numbers up to {most}, one a stride"
                )


LARGEST = 65_536  # of the numbers in a config: channels, pixels, layers
_NAMED = {
    int: f"a whole number up to {LARGEST}",
    float: f"a number up to {LARGEST}",
    str: "a text",
    NoneType: "null",
}


def differences(cls: type, values: object, prefix: str = "") -> list[str]:
    """What is missing from, unknown or of another type among a dataclass's values; `prefix` names their place."""
    if not isinstance(values, dict):
        return [f"{prefix.rstrip('.')} is {shortened(values)}"]
    hints = get_type_hints(cls)
    wanted = {f.name: hints[f.name] for f in fields(cls)}
    missing, unknown = sorted(wanted.keys() - values.keys()), sorted(values.keys() - wanted.keys())
    problems = [f"{prefix}{key} is missing" for key in missing]
    problems += [f"{prefix}{shortened(key)[1:-1]} is unknown" for key in unknown]
    for key in sorted(wanted.keys() & values.keys()):
        if is_dataclass(hint := wanted[key]):
            assert isinstance(hint, type)
            problems += differences(hint, values[key], f"{prefix}{key}.")
        elif not _fits(hint, values[key]):
            problems.append(f"{prefix}{key} is {shortened(values[key])}, not {_name(hint)}")
    return problems[:8]


def _fits(hint: Any, value: object) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(one, value) for one in inner)
    if origin is Literal:
        return value in inner
    if origin is tuple:
        return isinstance(value, list | tuple) and len(value) <= LARGEST and all(_fits(inner[0], v) for v in value)
    if hint in (int, float):
        # JSON knows NaN, infinity and whole numbers of any length; none of them compares as small.
        kinds = int if hint is int else int | float
        return isinstance(value, kinds) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST
    return isinstance(value, hint)


def _name(hint: Any) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(map(_name, inner))
    if origin is Literal:
        return f"one of {', '.join(map(repr, inner))}"
    return f"a list, each {_name(inner[0])}" if origin is tuple else _NAMED.get(hint, hint.__name__)
