"""Self-contained HTML reports: no network, no scripts; curves as SVG, pictures as data URIs.

A `Report` takes blocks of `Html`; the other names here make such blocks, and all of them escape what they show.
"""

from clickgrain.evaluation.html.charts import Series as Series
from clickgrain.evaluation.html.charts import iou_curves as iou_curves
from clickgrain.evaluation.html.charts import line_chart as line_chart
from clickgrain.evaluation.html.comparison import comparison_table as comparison_table
from clickgrain.evaluation.html.evaluation import write_report as write_report
from clickgrain.evaluation.html.failures import border_contact as border_contact
from clickgrain.evaluation.html.failures import failure_report as failure_report
from clickgrain.evaluation.html.figures import Example as Example
from clickgrain.evaluation.html.figures import example_gallery as example_gallery
from clickgrain.evaluation.html.figures import examples as examples
from clickgrain.evaluation.html.figures import figure as figure
from clickgrain.evaluation.html.figures import gallery as gallery
from clickgrain.evaluation.html.figures import replay as replay
from clickgrain.evaluation.html.figures import tree_pictures as tree_pictures
from clickgrain.evaluation.html.machine import machine as machine
from clickgrain.evaluation.html.markup import Html as Html
from clickgrain.evaluation.html.markup import tag as tag
from clickgrain.evaluation.html.page import Report as Report
from clickgrain.evaluation.html.sizes import size_table as size_table
from clickgrain.evaluation.html.tables import commands as commands
from clickgrain.evaluation.html.tables import facts as facts
from clickgrain.evaluation.html.tables import headline as headline
from clickgrain.evaluation.html.tables import paragraph as paragraph
from clickgrain.evaluation.html.tables import target_table as target_table

__all__ = [
    "Example",
    "Html",
    "Report",
    "Series",
    "border_contact",
    "commands",
    "comparison_table",
    "example_gallery",
    "examples",
    "facts",
    "failure_report",
    "figure",
    "gallery",
    "headline",
    "iou_curves",
    "line_chart",
    "machine",
    "paragraph",
    "replay",
    "size_table",
    "tag",
    "target_table",
    "tree_pictures",
    "write_report",
]
