"""Figures and tables: means, paired differences, intervals by image, and files that say what they hold."""

import json

import numpy as np
import pytest

from clickgrain.errors import TrainingError
from clickgrain.evaluation import Result
from clickgrain.evaluation.config import EvaluationSettings
from studies.table import Row, Table, interval, row_of


class Clicks(Result):
    """A result of given clicks to IoU 0.85, two targets an image."""

    def __init__(self, clicks):
        from clickgrain.evaluation import TargetResult

        curves = [np.where(np.arange(1, 21) >= c, 0.9, 0.5) for c in clicks]
        rows = tuple(
            TargetResult(
                id=f"t{i}", image=f"i{i // 2}", area=0.1, size="medium", ious=tuple(curve.tolist()),
                boundary_ious=tuple(curve.tolist()), disobeyed=(0,) * 20, clicks=((0, 0, 1),) * 20,
                click_seconds=(0.0,) * 20, encode_seconds=0.0,
            )
            for i, curve in enumerate(curves)
        )  # fmt: skip
        super().__init__("m", "b", "robot", EvaluationSettings(), rows)


def test_figures_are_means_over_seeds():
    row = row_of("x", [Clicks([2, 4]), Clicks([4, 6])], [10.0, 20.0], None, extra=7.0)
    assert row.figures["NoC85"] == pytest.approx(4.0)
    assert (row.seeds, row.seconds, row.figures["extra"], row.difference) == ((3.0, 5.0), 15.0, 7.0, None)
    assert row.figures["mIoU@3"] == pytest.approx((0.9 + 0.5 + 0.5 + 0.5) / 4)


def test_differences_are_paired():
    """Targets differ a lot, variants by one click each: the interval of the difference has no width."""
    clicks = np.random.default_rng(0).integers(1, 15, 30)
    row = row_of("x", [Clicks(clicks + 1)], [1.0], [Clicks(clicks)])
    assert (row.difference, row.difference_interval) == (pytest.approx(1.0), pytest.approx((1.0, 1.0)))
    low, high = row.interval
    assert low < row.figures["NoC85"] < high
    assert high - low > 1.5


def test_targets_of_one_image_do_not_count_as_independent():
    values = np.random.default_rng(2).normal(0, 1, 20)
    apart = interval({(f"{i}", "0"): float(v) for i, v in enumerate(values)})
    copies = interval({(f"{i}", f"{k}"): float(v) for i, v in enumerate(values) for k in range(10)})
    assert copies == pytest.approx(apart)


def test_one_image_has_no_interval():
    row = row_of("x", [Clicks([2, 4])], [1.0], [Clicks([3, 3])])
    assert (row.interval, row.difference, row.difference_interval) == (None, 0.0, None)
    text = Table("maps", "t", "q", "s", 1, [row]).markdown()
    assert "| x | 3.00 | +0.00 |" in text


@pytest.fixture
def table():
    rows = [
        row_of("first", [Clicks([2, 4, 6])], [60.0], None),
        row_of("second | <b>", [Clicks([3, 5, 9])], [61.0], [Clicks([2, 4, 6])], extra=0.5),
        Row("third", error="no weights"),
    ]
    return Table("maps", "Click maps", "What helps?", "3 photos.", 4, rows)


def test_the_table_says_everything(table):
    text = table.markdown()
    assert "What helps? 3 photos." in text
    assert "| first | 4.00 [" in text
    assert "second \\| <b>" in text
    assert "+1.67 [" in text
    assert "not run: no weights" in text
    assert "3 of 4 variants are done." in text
    widths = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_it_is_saved_in_three_forms(table, tmp_path):
    assert table.save(tmp_path).read_text() == table.markdown()
    page = (tmp_path / "maps.html").read_text()
    assert "second | &lt;b&gt;" in page
    rows = json.loads((tmp_path / "maps.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["first", "second | <b>", "third"]
    assert rows[1]["difference"] == pytest.approx(5 / 3)


def test_a_folder_that_cannot_be_written(table, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match=r"maps\.json cannot be written"):
        table.save(tmp_path / "file")
