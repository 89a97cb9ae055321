"""Choices of exports and imports, without anything heavy."""

from typing import Literal

Format = Literal["coco", "semantic", "instance", "panoptic", "yolo", "labelme"]
Existing = Literal["skip", "replace", "add"]
"""Of an import into an image that has objects: skip what has the same pixels as one of them, replace all but locked
ones, or add everything."""
Photos = Literal["none", "copy", "link"]
"""Whether a YOLO export brings the photos along."""
