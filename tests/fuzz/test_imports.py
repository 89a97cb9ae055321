"""Whatever bytes a file of annotations has, objects come in, or an error names the file."""

import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import strategies as st

from clickgrain.errors import DataError
from clickgrain.export.formats import export_files, read_any
from clickgrain.export.records import ImageRecord, LabelRecord, ObjectRecord
from tests.fuzz.hostile import assert_named, changed_bytes, changed_json

pytestmark = pytest.mark.timeout(0)
SIZE = (20, 30)


def objects():
    """A box with a hole, and a blob that touches the edge."""
    box, blob = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    box[3:12, 4:15] = True
    box[6:8, 7:9] = False
    blob[12:, 20:] = True
    return [ObjectRecord(box, "roof"), ObjectRecord(blob, "tree")]


def exported(format_, **settings):
    """Files of an export of two images, by name."""
    images = [ImageRecord(name, SIZE, objects) for name in ("a.png", "more/b.png")]
    labels = [LabelRecord(1, "roof", "#ff0000"), LabelRecord(2, "tree", "#00ff00")]
    return dict(export_files(format_, images, labels, **settings))


def zipped(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


JSON = {
    "coco": [*exported("coco").values(), *exported("coco", polygons=False).values()],
    "datumaro": [*exported("datumaro").values()],
    "label-studio": [exported("label-studio")["tasks.json"]],
    "labelme": [*exported("labelme").values()],
    "panoptic": [text for name, text in exported("panoptic").items() if name.endswith(".json")],
}
FILES = {
    format_: exported(format_) for format_ in ("coco", "datumaro", "label-studio", "labelme", "yolo", "panoptic")
}


def read(content):
    """Import as far as the masks."""
    skipped = []
    _, images = read_any(content, "fuzzed", skipped)
    for image in images:
        for one in image.objects():
            assert one.mask.dtype == bool
            assert one.mask.shape == image.size
    assert all(isinstance(line, str) for line in skipped)


def check(content):
    assert_named("", lambda: read(content), DataError)


@pytest.mark.parametrize("format_", JSON)
def test_json(search, format_):
    search(changed_bytes(JSON[format_]), check)


@pytest.mark.parametrize("format_", JSON)
def test_values_in_json(search, format_):
    documents = [json.loads(text) for text in JSON[format_]]
    search(changed_json(documents).map(lambda one: json.dumps(one).encode()), check)


@pytest.mark.parametrize("format_", FILES)
def test_zips(search, format_):
    search(changed_bytes([zipped(FILES[format_])]), check, examples=25)


@pytest.mark.parametrize("format_", ["yolo", "panoptic"])
def test_files_in_zips(search, format_):
    """Whole archives of changed files."""
    files = FILES[format_]

    def mixed(drawn):
        name, content = drawn
        return zipped({**files, name: content})

    one = st.sampled_from([*files]).flatmap(
        lambda name: st.tuples(st.just(name), changed_bytes([as_bytes(files[name])]))
    )
    search(one.map(mixed), check)


def as_bytes(content):
    return content.encode() if isinstance(content, str) else content
