"""Draw all regions of a photo with supervision's annotators: `python supervision_masks.py PHOTO OUT`.

`pip install clickgrain supervision`. supervision reads the records as those of Segment Anything.
"""

import sys

import cv2
import supervision as sv

import clickgrain
from clickgrain.sam import SamAutomaticMaskGenerator

photo, out = sys.argv[1:]
image = clickgrain.read_image(photo)
generator = SamAutomaticMaskGenerator(levels=(0.65, 0.8), stability_score_thresh=0.5)
regions = sv.Detections.from_sam(sam_result=generator.generate(image))
drawn = sv.MaskAnnotator(color_lookup=sv.ColorLookup.INDEX).annotate(image.copy(), regions)
drawn = sv.PolygonAnnotator(color_lookup=sv.ColorLookup.INDEX, thickness=1).annotate(drawn, regions)
cv2.imwrite(out, drawn[..., ::-1])
print(f"{out}: {len(regions)} regions")
