"""A Nuclio function for a self-hosted CVAT: points and a box in, a mask out.

CVAT sends the image with every click, so encoded images are kept by the hash of their bytes.
"""

import base64
import json
import os
from hashlib import sha256

from clickgrain.errors import ClickgrainError
from clickgrain.integrations.fetch import read_bytes
from clickgrain.integrations.image_cache import ImageCache
from clickgrain.integrations.prompts import clipped, onto_image
from clickgrain.segmenter import Segmenter

REFUSED = (ClickgrainError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
"""Errors that come of the request."""


def init_context(context):
    """Load the model, once per worker."""
    model = os.environ.get("CLICKGRAIN_MODEL", "default")
    context.user_data.images = ImageCache(Segmenter.load(model), int(os.environ.get("CLICKGRAIN_MEMORY", "256")))
    level = os.environ.get("CLICKGRAIN_LEVEL")
    context.user_data.level = None if level is None else float(level)
    context.logger.info(f"clickgrain: {model} is loaded")


def handler(context, event):
    """{"mask": H rows of W 0 or 1} for {"image": base64, "pos_points", "neg_points", "obj_bbox"}."""
    try:
        body, status = answer(context.user_data, event.body), 200
    except REFUSED as error:
        body, status = {"error": f"the request lacks {error}" if isinstance(error, KeyError) else str(error)}, 400
    except Exception as error:
        body, status = {"error": f"this should not happen: {error!r}"}, 500
    if status != 200:
        context.logger.error(body["error"])
    return context.Response(body=json.dumps(body), headers={}, content_type="application/json", status_code=status)


def answer(kept, body):
    """What `handler` sends when all is well."""
    request = body if isinstance(body, dict) else json.loads(body)
    content = base64.b64decode(request["image"], validate=True)
    encoded = kept.images.get(sha256(content).hexdigest(), lambda: read_bytes(content, "the image"))
    positive, negative = request.get("pos_points") or [], request.get("neg_points") or []
    mask = kept.images.segmenter.predict(
        onto_image([*positive, *negative], encoded.size),
        [1] * len(positive) + [0] * len(negative),
        clipped(request.get("obj_bbox"), encoded.size),
        level=kept.level,
        encoded=encoded,
    )
    return {"mask": mask.binary.astype(int).tolist()}
