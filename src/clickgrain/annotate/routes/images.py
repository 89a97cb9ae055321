"""Routes of images: the list, and all about one: pixels, hover data, document, log, alternatives; masks."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
from fastapi import APIRouter, Query, Request, Response
from PIL import Image

from clickgrain.annotate.cache import DiskCache
from clickgrain.annotate.documents import Click, Coordinate, Side, Steps, View
from clickgrain.annotate.files_below import OpenFile
from clickgrain.annotate.gallery import read_at_work
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.masks import encode
from clickgrain.annotate.project import Project
from clickgrain.annotate.routes.answers import Count, User, as_bytes, as_json, entries_of, in_threads
from clickgrain.errors import ClickgrainError, ImageError
from clickgrain.images import read_image, resize_long_side
from clickgrain.images.pixels import Window, scaled_range
from clickgrain.tree.leaf_map import node_mask, to_size
from clickgrain.types import Bool, Size, UInt8

THUMB_SIDE = 192
OUTLINE = (255, 40, 200)
JPEG, PNG = "image/jpeg", "image/png"
PNG_PIXELS = 4_000_000  # larger images are sent as JPEG even if the file is lossless
BYTES = "application/octet-stream"

LongSide = Annotated[int, Query(ge=16, le=4096)]
Value = Annotated[float, Query(allow_inf_nan=False)]


def image_routes(project: Project, cache: DiskCache) -> APIRouter:
    """The list of images, and all about one: pixels, hover data, document, log, alternatives; masks."""
    router, gallery = APIRouter(prefix="/api"), project.gallery
    reads = in_threads()  # may wait for the encoder or the model

    @router.get("/images")
    def images() -> Response:
        change = project.changes.now
        return as_json(change=change, images=entries_of(project, gallery.order))

    @router.get("/labelled")
    @reads
    def labelled() -> Response:
        """Which labels, and none (null), the objects of every image have, and the score of the least sure one."""
        known, found, least = project.logs.labels().document, dict[int, list[int | None]](), dict[int, float]()
        for image in gallery.logged():
            with suppress(ClickgrainError):  # a damaged log; opening the image says so
                objects = project.logs.history(image).document.objects
                labels = {known.find(item.label) for item in objects}
                found[image] = [None if label is None else label.id for label in labels]
                if scores := [item.score for item in objects if item.score is not None]:
                    least[image] = min(scores)
        return as_json(images=found, least=least)

    @router.get("/images/{image}")
    @reads
    def open_image(image: int, masks: bool = False, passing: bool = False) -> Response:
        """All about an image but its pixels; unless it is only looked at in passing, it is encoded too."""
        gallery.path(image)
        if not passing:
            project.look_at(image)
        size, native = gallery.sizes(image)
        before, after = gallery.neighbours(image)
        project.logs.notice_others()
        document, notes = project.logs.history(image).document, gallery.notes(image)
        data = {"masks": project.logs.masks_of(document)} if masks else {}
        if lost := [item.id for item in document.objects if masks and item.mask not in (None, *data["masks"])]:
            notes = [*notes, f"the masks of objects {lost} are damaged; draw them again"]
        return as_json(
            id=image,
            name=gallery.name(image),
            size=size,
            native=native,
            bytes=gallery.n_bytes(image),
            notes=notes,
            values=scaled_range(notes),
            content=gallery.content(image),
            previous=before,
            next=after,
            encoded=image in project.encoded(),
            document=project.logs.document_json(image),
            **data,
        )

    @router.get("/images/{image}/picture")
    @reads
    def show(
        image: int,
        request: Request,
        box: str | None = None,
        max: LongSide = 2048,
        low: Value | None = None,
        high: Value | None = None,
    ) -> Response:
        """The image, or a part of it; of deeper files than 8 bits, `low` and `high` are shown black and white."""
        size, native = gallery.sizes(image)
        window = (low, high) if low is not None and high is not None and low < high else None
        with gallery.open(image) as file:
            if box is not None:
                content, kind = part(file.path, box, size, max, window)
            elif window is not None:
                content, kind = lossless(read_at_work(file.path, window=window)[0])
            else:
                content, kind = picture(file.path, _pixels(project, image, file), native)
        return as_bytes(request, content, kind, key=f"picture {image} {file.stamp} {box} {max} {window}")

    @router.get("/images/{image}/thumb")
    @reads
    def thumb(image: int, request: Request, node: int | None = None, object: int | None = None) -> Response:
        if node is not None:
            scene = project.scene(image)
            if not 0 <= node < scene.tree.n_nodes:
                raise RequestError("not_found", f"there is no node {node}; this tree ends at {scene.tree.root}")
            content = thumbnail(scene.image, node_mask(scene.tree, scene.leaves, node, scene.size))
            return as_bytes(request, content, JPEG, key=f"thumb {scene.stamp} {scene.model} {node}")
        if object is not None:
            item, loaded = project.logs.item(image, object), gallery.load(image)
            content = thumbnail(loaded.pixels, project.logs.mask(item.mask or ""))
            return as_bytes(request, content, JPEG, key=f"thumb {loaded.stamp} {item.mask}")
        with gallery.open(image) as file:
            key = f"thumb {image} {file.stamp}"
            if (cached := cache.get(key)) is None:
                cached = quick_thumbnail(file.path)
                if not file.has_changed:
                    cache.put(key, cached)
        return as_bytes(request, cached, JPEG, key=key)

    @router.get("/images/{image}/hover")
    @reads
    def hover(image: int, request: Request) -> Response:
        scene = project.scene(image)
        return as_bytes(request, scene.hover, BYTES, key=f"hover {scene.stamp} {scene.model}")

    @router.get("/images/{image}/preview")
    @reads
    def preview(
        image: int,
        x: Coordinate,
        y: Coordinate,
        object: int | None = None,
        label: Side = 1,
        name: int | None = None,
        view: Annotated[View | None, Query()] = None,
    ) -> Response:
        """The mask after a click, the first or one more on an object; the click itself will be in the cache.

        `name` is the number of the label that a new object would get, `view` as in `Click`, one value after the
        other.
        """
        steps: Steps = (Click(x=x, y=y, label=label, view=view),)
        if object is None:
            steps = project.usual.first(name, steps)
        else:
            steps = (*project.logs.item(image, object).steps, *steps)
        return as_json(data=encode(project.replayer.fold(project.scene(image), steps).binary).text)

    @router.get("/images/{image}/log")
    def log(image: int, since: Count = 0) -> Response:
        gallery.path(image)
        entries = project.database.actions(image, since)
        return as_json(seq=project.logs.history(image).seq, actions=[one.to_json() for one in entries])

    @router.post("/images/{image}/take-over")
    def take_over(image: int, user: User) -> Response:
        gallery.path(image)
        project.team.take_over(user, image)
        return as_json(**project.team.about(image))

    @router.get("/images/{image}/objects/{number}/alternatives")
    @reads
    def alternatives(image: int, number: int) -> Response:
        seq, steps = project.logs.history(image).seq, project.logs.item(image, number).steps
        found: list[dict[str, Any]] = []
        for mask in project.replayer.fold(project.scene(image), steps).alternatives if steps else ():
            coded = encode(mask.binary)
            entry = {"mask": coded.hash, "data": coded.text, "bbox": coded.bbox, "area": coded.area}
            found.append({**entry, "score": float(mask.score), "level": mask.level})
        return as_json(seq=seq, alternatives=found)

    @router.get("/masks/{hash_}")
    def mask(hash_: str, request: Request) -> Response:
        return as_bytes(request, project.logs.coded(hash_), BYTES, key=hash_, for_ever=True)

    return router


def _pixels(project: Project, image: int, file: OpenFile) -> UInt8:
    """H x W x 3 of the file that is open, not of a later one with its name."""
    stamp = f"{image} {file.stamp}"
    if (key := (image, stamp)) in project.encoder.ready():
        return project.encoder.get(key).image
    loaded = project.gallery.load(image)
    if loaded.stamp != stamp:
        raise ImageError(f"{file.path}: was replaced a moment ago; try again")
    return loaded.pixels


def picture(path: Path, image: UInt8, native: Size) -> tuple[bytes, str]:
    """(bytes, media type) of an image at work, whose file has (H, W) `native`; a plain JPEG is sent as it is."""
    with path.open("rb") as file:
        lossy = file.read(3) == b"\xff\xd8\xff"
    if lossy and image.shape[:2] == native and _is_plain_jpeg(path):
        return path.read_bytes(), JPEG
    return (to_jpeg(image, 92), JPEG) if lossy else lossless(image)


def part(path: Path, box: str, size: Size, longest: int, window: Window | None = None) -> tuple[bytes, str]:
    """(bytes, media type) of a part of a file, "x1,y1,x2,y2" in pixels at work, its long side at most `longest`."""
    try:
        x1, y1, x2, y2 = (float(value) for value in box.split(","))
    except ValueError:
        raise RequestError("invalid", f"box {box!r} is not x1,y1,x2,y2") from None
    if not (0 <= x1 < x2 <= size[1] and 0 <= y1 < y2 <= size[0]):  # NaN compares with nothing
        outside = f"box {(x1, y1, x2, y2)} is empty or outside the image of {size[1]} x {size[0]} pixels"
        raise RequestError("invalid", f"{outside}; give x1,y1,x2,y2")
    image = read_image(path, window=window)
    scale_y, scale_x = image.shape[0] / size[0], image.shape[1] / size[1]
    top, bottom = int(y1 * scale_y), max(int(np.ceil(y2 * scale_y)), int(y1 * scale_y) + 1)
    left, right = int(x1 * scale_x), max(int(np.ceil(x2 * scale_x)), int(x1 * scale_x) + 1)
    crop = np.ascontiguousarray(image[top:bottom, left:right])
    return lossless(resize_long_side(crop, longest) if max(crop.shape[:2]) > longest else crop)


def thumbnail(image: UInt8, mask: Bool | None = None) -> bytes:
    """JPEG of an H x W x 3 uint8 RGB image with a long side of 192; a mask (H x W bool) is outlined."""
    small = resize_long_side(image, THUMB_SIDE)
    if mask is not None:
        small = small.copy()
        inside = to_size(mask, (small.shape[0], small.shape[1])).astype(np.uint8)
        outline, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(small, outline, -1, OUTLINE, 2)
    return to_jpeg(small, 85)


def quick_thumbnail(path: Path) -> bytes:
    """A thumbnail of a file; a JPEG is decoded at an eighth of its size where that is enough."""
    if _is_plain_jpeg(path):
        with suppress(OSError, ValueError), Image.open(path) as file:  # read_image says what is wrong with it
            file.draft("RGB", (2 * THUMB_SIDE, 2 * THUMB_SIDE))
            return thumbnail(np.asarray(file.convert("RGB")))
    return thumbnail(read_image(path))


def to_jpeg(image: UInt8, quality: int) -> bytes:
    """JPEG bytes of an H x W x 3 uint8 RGB image."""
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def lossless(image: UInt8) -> tuple[bytes, str]:
    """(bytes, media type) of an H x W x 3 uint8 RGB image: PNG, unless it is too large for that."""
    if image.shape[0] * image.shape[1] > PNG_PIXELS:
        return to_jpeg(image, 92), JPEG
    return cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes(), PNG


def _is_plain_jpeg(path: Path) -> bool:
    """Whether a file is a JPEG that browsers show as `read_image` reads it: three channels, no EXIF orientation."""
    try:
        with Image.open(path, formats=("JPEG",)) as file:
            return file.mode == "RGB" and file.getexif().get(0x0112, 1) == 1
    except Exception:  # read_image could read it, so it is shown re-encoded
        return False
