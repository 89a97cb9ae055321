"""Images on disk and in memory: the one safe reader, folder walks, resizing, edge-snapped upsampling."""

from clickgrain.images.arrays import check_image as check_image
from clickgrain.images.arrays import fit_size as fit_size
from clickgrain.images.arrays import resize as resize
from clickgrain.images.arrays import resize_long_side as resize_long_side
from clickgrain.images.arrays import rotation_hint as rotation_hint
from clickgrain.images.arrays import save_mask as save_mask
from clickgrain.images.arrays import to_lab as to_lab
from clickgrain.images.guided import Guide as Guide
from clickgrain.images.guided import guided_upsample as guided_upsample
from clickgrain.images.reader import MAX_PIXELS as MAX_PIXELS
from clickgrain.images.reader import count_pages as count_pages
from clickgrain.images.reader import read_image as read_image
from clickgrain.images.remote import ImageFile as ImageFile
from clickgrain.images.sources import list_images as list_images
from clickgrain.images.walk import SUFFIXES as SUFFIXES
from clickgrain.images.walk import ReadReport as ReadReport
from clickgrain.images.walk import find_images as find_images
from clickgrain.images.walk import read_images as read_images
