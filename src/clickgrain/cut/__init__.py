"""After the network: what the image's features say, the guard (what was right stays), and the cut."""

from clickgrain.cut.cut import CutSettings as CutSettings
from clickgrain.cut.cut import Discriminant as Discriminant
from clickgrain.cut.cut import cut_mask as cut_mask
from clickgrain.cut.cut import cut_region as cut_region
from clickgrain.cut.cut import depth_in as depth_in
from clickgrain.cut.cut import guard_mask as guard_mask
from clickgrain.cut.cut import in_one_piece as in_one_piece
from clickgrain.cut.cut import obey as obey
from clickgrain.cut.cut import warm_up as warm_up
