"""`clickgrain export-model`: a model as ONNX files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from clickgrain.errors import ConfigError


@dataclass(frozen=True)
class ExportModelArgs:
    """Write a model as ONNX files (encoder and decoder) that answer clicks without torch.

    Attributes:
        model: "default", a model folder or a Hugging Face id.
        out: folder for encoder.onnx, decoder.onnx and config.json.
        precision: fp32; fp16, half the size; int8, a third of it, for processors that compute it.
        photos: for int8: photos like those that it will see, whose values set the ranges.
    """

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    photos: Annotated[
        Path | None,
        tyro.conf.arg(metavar="PHOTOS", help_behavior_hint="(default: six that come with scikit-image)"),
    ] = None

    def __post_init__(self) -> None:
        if self.photos is not None and self.precision != "int8":
            raise ConfigError(f"--photos is for --precision int8, not {self.precision}; leave one of them out")
        if (self.out / "model.safetensors").exists():
            raise ConfigError(
                f"--out {self.out} holds weights for torch; its config.json is theirs: name another folder"
            )


def export_model(args: ExportModelArgs) -> None:
    """Load, export; one line about the files on stdout."""
    from clickgrain.commands.console import say_all
    from clickgrain.models.onnx_export import export_onnx
    from clickgrain.models.registry import load_click_model

    notes: list[str] = []
    export_onnx(load_click_model(args.model), args.out, precision=args.precision, photos=args.photos, notes=notes)
    say_all(notes)
    size = sum(file.stat().st_size for file in args.out.glob("*.onnx"))
    print(f"{args.out} {args.precision} {size / 1e6:.1f} MB")
