"""`clickgrain segment`: one photo, a few clicks, one mask."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from clickgrain.commands.console import say, say_all
from clickgrain.commands.parsing import Level, ModelExtractor, parse_prompt, read_prompt
from clickgrain.devices import choose_device
from clickgrain.errors import ConfigError, WeightsError, check_range

OVERLAYS = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class SegmentArgs:
    """Cut something out of a photo with clicks, strokes or a box, all in pixels of the upright photo."""

    image: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE")]  # the photo, or its URL.
    # the mask: 8-bit PNG, 255 on the object and 0 elsewhere.
    out: Annotated[Path, tyro.conf.arg(metavar="MASK.png")]
    # a click on the object; with ",-" at its end, on the background. Repeat the flag for more.
    click: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="X,Y[,-]")] = ()
    # a stroke, its points in one quoted word: "10,10 20,15 30,30"; with ",-" at its end, on the background. Repeat
    # the flag for more.
    scribble: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar='"X,Y ...[,-]"')] = ()
    box: Annotated[str | None, tyro.conf.arg(metavar="X1,Y1,X2,Y2")] = None  # a box around the object.
    # how large a region: 0 the smallest part, 1 the whole image.
    level: Level = None
    # "default", "tree" (no network), a model folder or a Hugging Face id.
    model: Annotated[
        str | None,
        tyro.conf.arg(metavar="M", help_behavior_hint='(default: "default", or "tree" while none ships)'),
    ] = None
    # whose features make the merge tree, as in `clickgrain propose`.
    extractor: ModelExtractor = None
    device: str = "cpu"  # torch device, e.g. cpu or cuda; auto takes a GPU if there is one.
    # what computes the network: torch, or onnx (ONNX Runtime on the CPU), which starts without torch; the first use
    # of a model exports it.
    runtime: Annotated[
        Literal["torch", "onnx"] | None,
        tyro.conf.arg(metavar="{torch,onnx}", help_behavior_hint="(default: onnx for what export-model wrote)"),
    ] = None
    cut: bool = True  # decide the outline by the image's pixels; --no-cut shows the network's own.
    # also draw the mask and the prompt on the photo, into this PNG, JPEG or WebP.
    overlay: Annotated[Path | None, tyro.conf.arg(metavar="IMAGE")] = None

    def __post_init__(self) -> None:
        if not (self.click or self.scribble or self.box):
            raise ConfigError("nothing points at the object; give --click X,Y, --scribble or --box")
        parse_prompt(self.click, self.box, self.scribble)
        check_range(self, "level", 0, 1)
        if self.runtime == "onnx" and not self.device.startswith("cpu"):
            raise ConfigError(f"--runtime onnx works on --device cpu only, not {self.device}; leave one out")
        if self.out.suffix.lower() != ".png":
            raise ConfigError(f"--out {self.out} is no .png; a mask needs a lossless format")
        if self.overlay is not None and self.overlay.suffix.lower() not in OVERLAYS:
            raise ConfigError(f"--overlay {self.overlay} has an unknown suffix; use {', '.join(OVERLAYS)}")
        files = [Path(path).resolve() for path in (self.image, self.out, self.overlay) if path is not None]
        if len(set(files)) < len(files):
            raise ConfigError("the photo, --out and --overlay share a file; give each its own name")


def segment(args: SegmentArgs) -> None:
    """Read, predict, write; one line about the mask on stdout."""
    from clickgrain.images import read_image, save_mask
    from clickgrain.segmenter import Segmenter
    from clickgrain.weights import find_model

    notes: list[str] = []
    image = read_image(args.image, notes=notes)
    say_all(notes)
    device = choose_device(args.device)
    prompt = read_prompt((image.shape[0], image.shape[1]), args.click, args.box, args.scribble, args.level)
    model = args.model or "default"
    if args.model is None:
        try:
            find_model(model)
        except WeightsError:
            say('no "default" weights ship here; answering with "tree" (--model chooses)', style="yellow")
            model = "tree"
    segmenter = Segmenter.load(model, device=device, extractor=args.extractor, cut=args.cut, runtime=args.runtime)
    segmenter.set_image(image)
    mask = segmenter.predict(**vars(prompt))
    save_mask(args.out, mask.binary)
    if args.overlay is not None:
        from clickgrain.commands.overlay import draw_overlay, save_overlay

        save_overlay(args.overlay, draw_overlay(image, mask.binary, prompt))
    if not mask.binary.any():
        say("the mask is empty; click on the object", style="yellow")
    level = "" if mask.level is None else f" level={mask.level:.3f}"
    print(f"{args.out} area={mask.binary.mean():.4f} score={mask.score:.3f}{level}")
