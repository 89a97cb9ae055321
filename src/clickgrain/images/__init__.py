"""Images on disk and in memory: the one safe reader, folder walks, resizing, edge-snapped upsampling."""

from clickgrain.images.reader import MAX_PIXELS as MAX_PIXELS
from clickgrain.images.reader import read_image as read_image
from clickgrain.images.reader import read_pages as read_pages

__all__ = ["MAX_PIXELS", "read_image", "read_pages"]
