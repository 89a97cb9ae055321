"""Choices of exports and imports; imports nothing heavy."""

from typing import Literal

Format = Literal[
    "coco", "semantic", "instance", "panoptic", "yolo", "labelme", "label-studio", "geojson", "voc", "datumaro"
]  # fmt: skip
Existing = Literal["skip", "replace", "add"]
"""For an image that has objects: skip objects with the same pixels as one of them, replace all but locked ones, or
add everything."""
Only = Literal["all", "done", "checked"]
"""Which images: those with objects and all that are done; done ones, checked too; or checked ones."""
Photos = Literal["none", "copy", "link"]  # what a YOLO export does with the photos
