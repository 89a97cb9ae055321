"""Rows beside the measured ones: whose they are, on what they were measured, and how far they compare."""

import re

import pytest

from clickgrain.evaluation import EvaluationSettings
from clickgrain.evaluation.baselines import BASELINES
from clickgrain.evaluation.published import Published, is_development, measured_before, published

BSDS = "fec9a4ef96a81740c625"
"""`data_hash` of the 393 targets of bsds."""


@pytest.mark.parametrize(
    ("name", "targets", "caveats"),
    [("grabcut", 50, 0), ("GrabCut", 20, 1), ("grabcut21", 21, 1), ("grabcut21", 50, 1), ("Berkeley", 100, 0),
     ("davis", 345, 0), ("OAI_ZIB", 150, 0)],
)  # fmt: skip
def test_a_set_of_another_size_or_name_has_a_caveat(name, targets, caveats):
    found = published(name, targets)
    assert found is not None
    assert len(found.caveats) == caveats


@pytest.mark.parametrize("name", ["bsds", "sbd-train", "davis585", "mine", "coco-mval"])
def test_sets_that_nobody_published_have_no_rows(name):
    assert published(name, 10) == Published(name)


def test_labels_and_their_absence_are_marked():
    found = published("davis", 345)
    kinds = {row.method: row.kind for row in found.rows}
    assert kinds["MIS ViT-B"] == kinds["M2N2"] == "label-free"
    assert kinds["SAM-H"] == kinds["FocalClick B0-S2"] == "supervised"
    assert kinds["Graph cut"] == "non-deep"
    assert all(row.source for row in found.rows)


def test_sets_for_development():
    assert is_development("BSDS")
    assert is_development("objects")
    assert not is_development("grabcut21")


def test_our_own_rows_are_shown_on_exactly_the_same_data_under_the_same_protocol():
    rows = measured_before(BSDS, EvaluationSettings(full_curves=True))
    assert (
        {row.method for row in rows} == {"geodesic", "graph-cut", "opencv-grabcut", "random-walker"} <= {*BASELINES}
    )
    assert {row.kind for row in rows} == {"before"}
    assert measured_before("another", EvaluationSettings()) == ()
    assert measured_before(BSDS, EvaluationSettings(threshold=0.49)) == ()


def test_our_own_rows_say_how_to_measure_them_again():
    for row in measured_before(BSDS, EvaluationSettings()):
        assert row.source.startswith(f"clickgrain evaluate --model {row.method} --data bsds=DIR; 20")
        assert re.search(r"opencv-python-headless \d", row.source)
        assert {"NoC85", "NoC90", "NoF90", "drops05", "mIoU@1", "s/click"} <= set(row.figures)
        assert row.figures["NoC85_low"] < row.figures["NoC85"] < row.figures["NoC85_high"]
