"""Routes of images: the list, and all about one: pixels, hover data, document, actions, alternatives; masks."""

import time
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from clickgrain.annotate.cache import DiskCache
from clickgrain.annotate.documents import Click, ImagePost
from clickgrain.annotate.files_below import OpenFile
from clickgrain.annotate.gallery import read_at_work
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.mask_rle import encode
from clickgrain.annotate.pictures import JPEG, lossless, part, picture, quick_thumbnail, thumbnail
from clickgrain.annotate.project import Project
from clickgrain.annotate.routes.answers import THREADS, Count, User, as_bytes, as_json, entries_of, in_threads
from clickgrain.errors import ClickgrainError, ImageError
from clickgrain.images.pixels import scaled_range
from clickgrain.tree.leaf_map import node_mask
from clickgrain.types import UInt8

BYTES = "application/octet-stream"

Side = Annotated[int, Query(ge=16, le=4096)]
Sign = Annotated[int, Query(ge=0, le=1)]
Value = Annotated[float, Query(allow_inf_nan=False)]
Pixel = Annotated[float, Query(ge=0, lt=65_536, allow_inf_nan=False)]


def image_routes(project: Project, cache: DiskCache) -> APIRouter:
    """The list of images, and all about one: pixels, hover data, document, actions, alternatives; masks."""
    router, gallery = APIRouter(prefix="/api"), project.gallery
    reads, writes = in_threads(THREADS), in_threads(THREADS)  # both may wait for the encoder or the model

    @router.get("/images")
    def images() -> Response:
        change = project.changes.now
        return as_json({"change": change, "images": entries_of(project, gallery.order)})

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
        return as_json({"images": found, "least": least})

    @router.get("/images/{image}")
    @reads
    def open_image(image: int, masks: bool = False, passing: bool = False) -> Response:
        """All about an image but its pixels; unless it is only looked at in passing, it is encoded too."""
        gallery.row(image)
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
            {
                "id": image,
                "name": gallery.name(image),
                "size": size,
                "native": native,
                "bytes": gallery.n_bytes(image),
                "notes": notes,
                "values": scaled_range(notes),
                "content": gallery.content(image),
                "previous": before,
                "next": after,
                "encoded": image in project.encoded(),
                "document": project.logs.document_json(image),
                **data,
            }
        )

    @router.get("/images/{image}/picture")
    @reads
    def show(
        image: int,
        request: Request,
        box: str | None = None,
        max: Side = 2048,
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
    def preview(image: int, x: Pixel, y: Pixel, object: int | None = None, label: Sign = 1) -> Response:
        """The mask after a click there, the first one or one more on an object.

        Nothing is written, and the click itself is answered from the cache.
        """
        steps = () if object is None else project.logs.item(image, object).steps
        steps = (*steps, Click(x=x, y=y, label=label))
        return as_json({"data": encode(project.fold(image, steps).binary).text})

    @router.get("/images/{image}/log")
    def log(image: int, since: Count = 0) -> Response:
        gallery.row(image)
        actions = project.database.actions(image, since)
        return as_json({"seq": project.logs.history(image).seq, "actions": [one.to_json() for one in actions]})

    @router.post("/images/{image}/actions")
    @writes
    def act(image: int, post: ImagePost, user: User) -> Response:
        start = time.perf_counter()
        done = project.act(image, post, post.action, user)
        return as_json(
            {
                "seq": done.seq,
                "document": project.logs.document_json(image),
                "object": done.touched,
                "removed": done.removed,
                "masks": {hash_: coded.text for hash_, coded in done.masks.items()},
                "alternatives": done.ambiguous,
                "milliseconds": round(1000 * (time.perf_counter() - start), 1),
            }
        )

    @router.post("/images/{image}/take-over")
    def take_over(image: int, user: User) -> Response:
        gallery.row(image)
        project.team.take_over(user, image)
        return as_json(project.team.about(image))

    @router.get("/images/{image}/objects/{number}/alternatives")
    @reads
    def alternatives(image: int, number: int) -> Response:
        seq, steps = project.logs.history(image).seq, project.logs.item(image, number).steps
        found: list[dict[str, Any]] = []
        for mask in project.fold(image, steps).alternatives if steps else ():
            coded = encode(mask.binary)
            entry = {"mask": coded.hash, "data": coded.text, "bbox": coded.bbox, "area": coded.area}
            found.append({**entry, "score": float(mask.score), "level": mask.level})
        return as_json({"seq": seq, "alternatives": found})

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
