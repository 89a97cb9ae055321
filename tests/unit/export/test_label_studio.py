"""Label Studio's tasks: come back, and are read as its page writes them. A real server: tests/e2e."""

import json
from xml.etree.ElementTree import fromstring

import numpy as np
import pytest
from hypothesis import given, settings

from clickgrain.errors import DataError
from clickgrain.export import brush_rle
from clickgrain.export.formats import export_files, read_any
from clickgrain.export.records import LabelRecord
from clickgrain.integrations.label_studio import Config
from tests.unit.export.test_formats import LABELS, OBJECTS, SIZE, image, ring


def written(objects, labels=LABELS):
    return dict(export_files("label-studio", [image(objects, "sub/a b.jpg")], labels))


def entry(kind, **value):
    """A result as the page writes it for an image of 11 x 9 pixels."""
    about = {"original_width": 11, "original_height": 9, "image_rotation": 0, "id": "abc", "origin": "manual"}
    return {**about, "from_name": "x", "to_name": "image", "type": kind, "value": value}


def read(*tasks):
    skipped = []
    format_, records = read_any(json.dumps(tasks).encode(), "project.json", skipped)
    assert format_ == "label-studio"
    return records, skipped


def task(*results, **more):
    data = {"text": "a cat", "image": "/data/upload/3/1a2b3c4d-a.jpg"}
    return {"id": 7, "data": data, "annotations": [{"result": list(results)}], **more}


@settings(deadline=None, max_examples=40)
@given(objects=OBJECTS)
def test_it_comes_back(objects):
    skipped = []
    content = written(objects)["tasks.json"]
    _, (record,) = read_any(content, "tasks.json", skipped)
    assert (record.name, skipped) == ("photos/sub/a b.jpg", [])
    found = list((record if record.size else record.sized(SIZE)).objects())
    assert [one.label for one in found] == [one.label for one in objects]
    assert all((one.mask == other.mask).all() for one, other in zip(found, objects))


def test_the_labeling_config_takes_every_label_and_answers_clicks():
    labels = [LabelRecord(1, 'a "<cat>" & more')]
    text = written([], labels)["labeling-config.xml"].decode()
    config = Config.parse(text)
    assert (config.image_key, config.image, config.brush, config.labels) == (
        "image",
        "image",
        "mask",
        ('a "<cat>" & more',),
    )
    assert [tag.tag for tag in fromstring(text) if tag.get("smart")] == [
        "BrushLabels",
        "KeyPointLabels",
        "RectangleLabels",
    ]


def test_masks_polygons_and_turned_rectangles_are_read_and_the_rest_is_named():
    square = np.zeros(SIZE, bool)
    square[2:5, 1:5] = True
    width, height = 100 / 11, 100 / 9
    corners = [[1, 2], [5, 2], [5, 5], [1, 5]]
    (record,), skipped = read(
        task(
            entry("brushlabels", format="rle", rle=brush_rle.encode(ring()), brushlabels=["cat"]),
            entry("polygonlabels", points=[[x * width, y * height] for x, y in corners], polygonlabels=["dög"]),
            entry("rectanglelabels", x=width, y=2 * height, width=4 * width, height=3 * height, rectanglelabels=[]),
            # a quarter turn about its upper left corner, which comes to lie at the upper right
            entry("rectangle", x=5 * width, y=2 * height, width=3 * width, height=4 * height, rotation=90),
            entry("keypointlabels", x=1, y=1, keypointlabels=["cat"]),
            {**entry("rectangle", x=1, y=1, width=9, height=9), "image_rotation": 90},
            entry("brushlabels", format="rle", rle=[1, 2], brushlabels=["cat"]),
            {"type": "choices"},
        )
    )
    assert (record.name, record.size) == ("/data/upload/3/1a2b3c4d-a.jpg", SIZE)
    found = list(record.objects())
    assert [one.label for one in found] == ["cat", "dög", None, None]
    assert (found[0].mask == ring()).all()
    assert all((one.mask == square).all() for one in found[1:])
    for number, words in ((4, "no area"), (5, "turned by 90"), (6, "truncated"), (7, "no 'value'")):
        assert any(f"task 7, result {number} is left out: " in line and words in line for line in skipped), skipped


def test_the_last_annotation_counts_that_was_not_cancelled_and_predictions_where_there_is_none():
    one, two = ({"result": [entry("rectangle", x=0, y=0, width=side, height=100)]} for side in (50, 100))
    cancelled = {**two, "was_cancelled": True}
    for more, area, words in (
        ({"annotations": [one, two, cancelled], "predictions": [one]}, 99, ["has 2 annotations"]),
        ({"annotations": [cancelled], "predictions": [two, one]}, 45, []),
    ):
        (record,), skipped = read(task(**more))
        (found,) = record.objects()
        assert abs(int(found.mask.sum()) - area) <= 9
        assert [word in line for word, line in zip(words, skipped, strict=True)] == [True] * len(words)


def test_a_task_without_results_is_an_image_without_objects():
    (record,), skipped = read(task())
    assert (record.size, list(record.sized(SIZE).objects()), skipped) == (None, [], [])


BAD = [3, None, {}, {"data": 3}, {"data": {}}, {"data": {"image": 5}}, {"id": 1, "image": "a.jpg", "tag": []}]
BAD += [{**task(), "annotations": 3}, {**task(), "annotations": [{"result": 3}]}]


@pytest.mark.parametrize("bad", BAD)
def test_bad_tasks_are_named_and_the_rest_comes_in(bad):
    (record,), (line,) = read(bad, task())
    assert record.name.endswith("a.jpg")
    assert line.startswith("project.json: task ")
    with pytest.raises(DataError, match="not one of its tasks"):
        read(bad)
