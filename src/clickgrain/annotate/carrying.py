"""Carry on: an object through the images after it, by the tracker, one logged action an image.

The objects of one track share its name. Those that the user corrected or locked are kept and carried on from; the
others are replaced.
"""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from clickgrain.annotate.actions import CarryObject, act
from clickgrain.annotate.documents import FINISHED, Item, Strict
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.jobs import Cancelled, Job
from clickgrain.annotate.masks import encode
from clickgrain.annotate.project import Project
from clickgrain.annotate.requests import Posted
from clickgrain.errors import ClickgrainError
from clickgrain.tracking import LOST, Tracker
from clickgrain.tree.leaf_map import to_size


class CarryRequest(Strict):
    """Which object to carry on, and through which images, in order; None for all that follow in the list."""

    image: int
    object: int
    images: Annotated[tuple[int, ...], Field(max_length=1_000_000)] | None = None
    client: Annotated[str, Field(max_length=100)] = ""


def carrying(project: Project, wanted: CarryRequest, user: str = "") -> Callable[[Job], Any]:
    """A job that carries an object on until it is stopped or cannot go on; its result says where and why.

    Raises RequestError: no such object, or it was drawn on a file that was replaced; or no image follows.
    """
    gallery = project.gallery
    item = project.logs.item(wanted.image, wanted.object, current=True)
    images = gallery.order[gallery.order.index(wanted.image) + 1 :]
    if wanted.images is not None:
        images = [image for image in dict.fromkeys(wanted.images) if image != wanted.image]
    if not images:
        raise RequestError("invalid", f"no image follows {gallery.name(wanted.image)} in the list")
    for image in images:
        gallery.path(image)
    return lambda job: _carry(project, job, wanted, item, images, user)


def _carry(project: Project, job: Job, wanted: CarryRequest, first: Item, images: list[int], user: str) -> Any:
    gallery, track, label = project.gallery, first.track or f"{wanted.image}-{first.id}", first.label
    job.result = {"track": track, "image": wanted.image}
    made: list[dict[str, int]] = []
    lost, here = False, wanted.image
    ended = f"carried on to {gallery.name(images[-1])}, the last image of the list"
    try:
        tracker = _tracker(project, here, first)
        for done, image in enumerate(images):
            name = gallery.name(image)
            job.report(done, len(images), f"{name}: image {done + 1} of {len(images)}")
            document, loaded = project.logs.history(image).document, gallery.load(image)
            if document.status in (*FINISHED, "skipped"):
                raise RequestError("invalid", f"{name} is marked {document.status}; mark it as begun to go on")
            if (size := loaded.pixels.shape[:2]) != tracker.size:
                old = f"{tracker.size[1]} x {tracker.size[0]}"
                raise RequestError("invalid", f"{name} has {size[1]} x {size[0]} pixels, not {old} as those before")
            known = next((item for item in document.objects if item.track == track), None)
            as_carried = known is not None and known.source == "carried" and len(known.steps) == 1
            if known is not None and (known.locked or not as_carried):  # the user corrected it
                tracker, score = _tracker(project, image, known), 1.0
            else:
                tracked = tracker.step(loaded.pixels)
                if (score := tracked.score) < LOST:
                    lost, here = True, image
                    ended = f"lost in {name}, score {score:.2f}, under {LOST:g}; click it here to go on"
                    break
                post = Posted(seq=0, client=wanted.client, active=0.0, content=loaded.content)
                request = CarryObject(track, encode(tracked.mask), round(score, 4), label, first.colour)
                answer = act(project, image, post, request, user, blind=True)
                made.append({"image": image, "seq": answer.seq, "objects": 1})
            here = image
            job.result = {"track": track, "image": here}
            job.report(done + 1, len(images), f"{name}: image {done + 1} of {len(images)}, score {score:.2f}")
    except Cancelled:
        ended = f"stopped in {gallery.name(here)}"
    except ClickgrainError as error:
        ended = str(error)
    except Exception as error:  # the page needs the images to take back what was made
        ended = f"this should not happen: {error!r}"
    count = f"{len(made)} image{'' if len(made) == 1 else 's'}"
    about = {"image": here, "lost": lost, "label": label, "images": made}
    return {"track": track, **about, "why": f"Carried through {count}: {ended}."}


def _tracker(project: Project, image: int, item: Item) -> Tracker:
    project.logs.item(image, item.id, current=True)
    pixels = project.gallery.load(image).pixels
    return Tracker(pixels, to_size(project.logs.mask(item.mask or ""), (pixels.shape[0], pixels.shape[1])))
