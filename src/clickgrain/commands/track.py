"""`clickgrain track`: an object through the frames of a video or the slices of a stack."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from clickgrain.commands.console import say
from clickgrain.commands.parsing import parse_prompt, read_prompt
from clickgrain.devices import choose_device
from clickgrain.errors import ConfigError, ImageError, check_range
from clickgrain.files import atomic_write

if TYPE_CHECKING:
    from clickgrain.types import Bool, UInt8

FOUND, HEAD = "track.csv", "frame,pixels,left,top,right,bottom,score"


@dataclass(frozen=True)
class TrackArgs:
    """Carry an object from frame to frame, from clicks on the first one.

    Stops where the object is lost; click again on that frame (--start) and write into the same folder.
    """

    # folder of images of one size, taken in the order of their names (frame2 before frame10), or a TIFF file of
    # several pages.
    frames: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FRAMES")]
    # folder for a mask per frame and track.csv; what it holds of other frames stays.
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    # X,Y, or X,Y,- on the background, on the first frame. Repeat the flag for more.
    click: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="X,Y[,-]")] = ()
    # X1,Y1,X2,Y2, the object's box on the first frame.
    box: Annotated[str | None, tyro.conf.arg(metavar="X1,Y1,X2,Y2")] = None
    # the object on the first frame as an image, white on black, instead of clicks.
    mask: Annotated[Path | None, tyro.conf.arg(metavar="IMAGE")] = None
    # name of the frame to start from; of pages, as in track.csv.
    start: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    backwards: bool = False  # go to earlier frames.
    score: float = 0.35  # stop where the tracker is less sure than this, 0..1; 0 never stops.
    overlay: bool = False  # also write every frame with the mask drawn on it, into OUT/overlay.
    # "default", "tree", a model folder or a Hugging Face id; answers the clicks.
    model: Annotated[str, tyro.conf.arg(metavar="M")] = "default"
    device: str = "cpu"  # torch device of the model; auto takes a GPU if there is one.
    # patterns of files and folders to leave out.
    ignore: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PATTERN")] = ()

    def __post_init__(self) -> None:
        if (self.mask is None) == (not self.click and self.box is None):
            raise ConfigError("point at the object on the first frame: --click X,Y or --box, or --mask")
        parse_prompt(self.click, self.box)
        check_range(self, "score", 0, 1)
        if self.out.resolve() == self.frames.resolve():
            raise ConfigError("--out is the folder of the frames; give another one, masks have the frames' names")


def track(args: TrackArgs) -> None:
    """One line on stdout: how many frames, and where it ended. Frames that cannot be read are left out."""
    import cv2

    from clickgrain.export.records import name_for
    from clickgrain.images import save_mask
    from clickgrain.progress import Bar
    from clickgrain.tracking import Tracked, Tracker
    from clickgrain.types import Prompt

    frames, taken = _frames(args), set[str]()
    files = {name: name_for(name, ".png", taken) for name in frames}  # also where a start skips some
    names = list(frames)[::-1] if args.backwards else list(frames)
    if args.start is not None and args.start not in names:
        raise ConfigError(f"--start {args.start}: no such frame in {args.frames}; it has {names[0]} to {names[-1]}")
    names = names[names.index(args.start or names[0]) :]

    image = frames[names[0]]()
    tracked = Tracked(_first_mask(args, image), 1.0)
    tracker, bad, lost = Tracker(image, tracked.mask), list[str](), ""
    rows = _rows_of(args.out / FOUND, set(files))
    try:
        with Bar() as bar:
            bar.start("frames", len(names))
            for name in names:
                try:
                    if name != names[0]:
                        image = frames[name]()
                        tracked = tracker.step(image)
                except ImageError as error:
                    bad.append(str(error) if Path(name).name in str(error) else f"{name}: {error}")
                    continue
                if tracked.score < args.score:
                    lost = name
                    break
                save_mask(args.out / files[name], tracked.mask)
                if args.overlay:
                    from clickgrain.commands.overlay import draw_overlay, save_overlay

                    drawn = draw_overlay(image, tracked.mask, Prompt())
                    save_overlay((args.out / "overlay" / files[name]).with_suffix(".jpg"), drawn)
                # the box is XYXY, right and bottom outside
                x, y, w, h = cv2.boundingRect(tracked.mask.astype("uint8"))
                box = f"{x},{y},{x + w},{y + h}"
                rows[name] = f"{name},{int(tracked.mask.sum())},{box},{tracked.score:.3f}"
                bar.advance(name)
    finally:  # also after Ctrl-C
        lines = [HEAD, *(rows[name] for name in files if name in rows)]
        atomic_write(args.out / FOUND, "".join(f"{line}\n" for line in lines).encode())
    if bad:
        say("\n".join(bad), style="yellow")
    if lost:
        again = f"clickgrain track {args.frames} --out {args.out} --start {lost} --click X,Y"
        say(f"lost at {lost}; click on it there: {again}", style="yellow")
    print(f"{args.out}: {len(rows)} of {len(files)} frames" + (f", lost at {lost}" if lost else ""))


def _frames(args: TrackArgs) -> "dict[str, Callable[[], UInt8]]":
    """What reads each frame by its name: files of a folder, or pages of one TIFF file."""
    from clickgrain.images import count_pages, find_images, read_image

    paths = find_images(args.frames, ignore=args.ignore)
    if args.frames.is_dir():
        return {path.relative_to(args.frames).as_posix(): partial(read_image, path) for path in paths}
    stem = args.frames.stem
    return {f"{stem}-{i:04}": partial(read_image, paths[0], page=i) for i in range(count_pages(paths[0]))}


def _first_mask(args: TrackArgs, image: "UInt8") -> "Bool":
    """H x W bool on the first frame, from --mask or by answering the clicks."""
    from clickgrain.images import read_image
    from clickgrain.segmenter import Segmenter

    height, width = image.shape[:2]
    if args.mask is not None:
        mask = read_image(args.mask).max(2) > 127
        if mask.shape != (height, width) or not mask.any():
            raise ConfigError(
                f"--mask {args.mask} has {mask.shape[1]} x {mask.shape[0]} pixels, {int(mask.sum())} of them white;"
                f" the frame has {width} x {height}"
            )
        return mask
    prompt = read_prompt((height, width), args.click, args.box)
    segmenter = Segmenter.load(args.model, device=choose_device(args.device))
    segmenter.set_image(image)
    mask = segmenter.predict(**vars(prompt)).binary
    if not mask.any():
        raise ConfigError("the clicks give an empty mask; click on the object")
    return mask


def _rows_of(table: Path, frames: set[str]) -> dict[str, str]:
    """Lines of an earlier track.csv by frame; none if there is no such file, or it is another one."""
    try:
        head, *lines = table.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    found = {line.rsplit(",", 6)[0]: line for line in lines} if head == HEAD else {}
    return {name: line for name, line in found.items() if name in frames}
