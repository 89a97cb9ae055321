"""Names of export formats, without anything heavy."""

from typing import Literal

Format = Literal["coco", "semantic", "instance", "panoptic", "yolo", "labelme"]
