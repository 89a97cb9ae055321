"""Routes of images: list, picture, hover data, document, actions, alternatives."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from clickgrain.annotate.answers import as_bytes, as_json
from clickgrain.annotate.files_below import OpenFile
from clickgrain.annotate.leafmap import node_mask
from clickgrain.annotate.pictures import JPEG, part, picture, quick_thumbnail, thumbnail
from clickgrain.annotate.refusals import RequestError
from clickgrain.annotate.requests import MOST_ACTIONS, ImagePost
from clickgrain.annotate.runs import encode
from clickgrain.annotate.service import Service
from clickgrain.annotate.steps import Click
from clickgrain.errors import ImageError
from clickgrain.types import Box, UInt8

Side = Annotated[int, Query(ge=16, le=4096)]
Place = Annotated[float, Query(ge=0, lt=65_536, allow_inf_nan=False)]


def image_routes(service: Service) -> APIRouter:
    """All routes below /api/images and /api/masks."""
    router = APIRouter(prefix="/api")
    project, gallery = service.project, service.project.gallery

    @router.get("/images")
    def images() -> Response:
        change = project.changes.now
        return as_json({"change": change, "images": service.entries(gallery.order)})

    @router.get("/images/{image}")
    def open_image(image: int, masks: bool = False) -> Response:
        gallery.row(image)
        project.look_at(image)
        size, native = gallery.sizes(image)
        before, after = gallery.neighbours(image)
        project.notice_others()
        entry = {
            "id": image,
            "name": gallery.name(image),
            "size": size,
            "native": native,
            "notes": gallery.notes(image),
            "content": gallery.content(image),
        }
        around = {"previous": before, "next": after, "encoded": image in project.encoded()}
        document = project.history(image).document
        data = {"masks": project.masks_of(document)} if masks else {}
        if lost := [item.id for item in document.objects if masks and item.mask not in (None, *data["masks"])]:
            entry["notes"] = [*gallery.notes(image), f"the masks of objects {lost} are damaged; draw them again"]
        return as_json({**entry, **around, "document": project.document_json(image), **data})

    @router.get("/images/{image}/picture")
    def show(image: int, request: Request, box: str | None = None, max: Side = 2048) -> Response:
        size, native = gallery.sizes(image)
        with gallery.open(image) as file:
            key = f"picture {image} {file.stamp} {box} {max}"
            if box is not None:
                content, kind = part(file.path, _box(box), size, max)
            else:
                content, kind = picture(file.path, _pixels(service, image, file), native)
        return as_bytes(request, content, kind, key=key)

    @router.get("/images/{image}/thumb")
    def thumb(image: int, request: Request, node: int | None = None, object: int | None = None) -> Response:
        if node is not None:
            scene = project.scene(image)
            if not 0 <= node < scene.tree.n_nodes:
                raise RequestError("not_found", f"there is no node {node}; this tree ends at {scene.tree.root}")
            outlined = node_mask(scene.tree, scene.leaves, node, scene.size)
            content = thumbnail(scene.image, outlined)
            return as_bytes(request, content, JPEG, key=f"thumb {scene.stamp} {scene.model} {node}")
        if object is not None:
            item = project.history(image).document.find(object)
            if item is None or item.mask is None:
                raise RequestError("not_found", f"there is no object {object} in this image")
            loaded = gallery.load(image)
            content = thumbnail(loaded.pixels, project.mask(item.mask))
            return as_bytes(request, content, JPEG, key=f"thumb {loaded.stamp} {item.mask}")
        with gallery.open(image) as file:
            key = f"thumb {image} {file.stamp}"
            if (kept := service.cache.get(key)) is None:
                kept = quick_thumbnail(file.path)
                if not file.has_changed:
                    service.cache.put(key, kept)
        return as_bytes(request, kept, JPEG, key=key)

    @router.get("/images/{image}/hover")
    def hover(image: int, request: Request) -> Response:
        scene = project.scene(image)
        key = f"hover {scene.stamp} {scene.model}"
        return as_bytes(request, scene.hover, "application/octet-stream", key=key)

    @router.get("/images/{image}/preview")
    def preview(image: int, x: Place, y: Place) -> Response:
        """What a first click there would take; nothing is written, and the click itself need not wait again."""
        return as_json({"data": encode(project.fold(image, (Click(x=x, y=y),)).binary).text})

    @router.get("/images/{image}/log")
    def log(image: int, since: Annotated[int, Query(ge=0, le=MOST_ACTIONS)] = 0) -> Response:
        gallery.row(image)
        actions = project.database.actions(image, since)
        return as_json({"seq": project.history(image).seq, "actions": [one.to_json() for one in actions]})

    @router.post("/images/{image}/actions")
    def act(image: int, post: ImagePost) -> Response:
        start = time.perf_counter()
        outcome = project.act(image, post, post.action)
        return as_json(
            {
                "seq": outcome.seq,
                "document": project.document_json(image),
                "object": outcome.touched,
                "masks": {hash_: coded.text for hash_, coded in outcome.masks.items()},
                "alternatives": outcome.ambiguous,
                "milliseconds": round(1000 * (time.perf_counter() - start), 1),
            }
        )

    @router.get("/images/{image}/objects/{number}/alternatives")
    def alternatives(image: int, number: int) -> Response:
        history = project.history(image)
        item = history.document.find(number)
        if item is None:
            raise RequestError("not_found", f"there is no object {number} in this image")
        offered: list[dict[str, Any]] = []
        for mask in project.fold(image, item.steps).alternatives if item.steps else ():
            coded = encode(mask.binary)
            entry = {"mask": coded.hash, "data": coded.text, "bbox": coded.bbox, "area": coded.area}
            offered.append({**entry, "score": float(mask.score), "level": mask.level})
        return as_json({"seq": history.seq, "alternatives": offered})

    @router.get("/masks/{hash_}")
    def mask(hash_: str, request: Request) -> Response:
        content = project.coded(hash_)
        return as_bytes(request, content, "application/octet-stream", key=hash_, for_ever=True)

    return router


def _pixels(service: Service, image: int, file: OpenFile) -> UInt8:
    """H x W x 3 of the file that is open, and of no later one under its name."""
    stamp = f"{image} {file.stamp}"
    if (key := (image, stamp)) in (encoder := service.project.encoder).ready():
        return encoder.get(key).image
    loaded = service.project.gallery.load(image)
    if loaded.stamp != stamp:
        raise ImageError(f"{file.path}: was replaced a moment ago; try again")
    return loaded.pixels


def _box(text: str) -> Box:
    try:
        x1, y1, x2, y2 = (float(value) for value in text.split(","))
    except ValueError:
        raise RequestError("invalid", f"box {text!r} is not x1,y1,x2,y2") from None
    return x1, y1, x2, y2
