import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from clickgrain.errors import DataError
from clickgrain.evaluation import EvaluationSettings, Result, TargetResult, result_table, size_table
from clickgrain.evaluation.result import differences
from clickgrain.evaluation.tables import remarks


def row(name, ious, error=None, image="i", seconds=0.5):
    return TargetResult(
        name,
        image,
        0.1,
        "medium",
        tuple(ious),
        tuple(v / 2 for v in ious),
        (0, 1, 0)[: len(ious)],
        ((3, 4, 1),) * len(ious),
        (seconds,) * len(ious),
        2.0,
        error,
    )


def result(*rows, **settings):
    return Result("my model", "drawn", "robot", EvaluationSettings(**settings), rows, ("a note",), ("a skip",))


def test_figures_of_two_targets():
    found = result(row("a", [0.5, 0.86, 0.91]), row("b", [0.9], seconds=1.5, image="j"))
    assert found.clicks_to(0.85).tolist() == [2, 1]
    assert (found.noc(0.85), found.noc(0.9), found.noc(0.95)) == (1.5, 2.0, 20.0)
    assert found.nof(0.95) == (2, 2)
    assert found.iou_at(3) == pytest.approx((0.91 + 0.9) / 2)
    assert found.seconds_per_click == pytest.approx(3 / 4)
    assert found.seconds_encode == 2


def test_a_curve_shorter_than_the_clicks_is_cut():
    assert row("a", [0.5, 0.86, 0.91]).curve(2).tolist() == [0.5, 0.86]


def test_an_iou_equal_to_the_threshold_reaches_it():
    assert result(row("a", [0.85])).noc(0.85) == 1


def test_json_round_trip():
    found = result(row("a", [0.5, 0.1 + 0.2]), row("b", [0.9], "RuntimeError: x"), max_clicks=7)
    assert Result.from_json(found.to_json()) == found
    assert json.loads(found.to_json())["summary"]["failed"] == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1}', '{"version": 99}'])
def test_foreign_json_is_refused(text):
    with pytest.raises(DataError, match="evaluate again"):
        Result.from_json(text)


def test_numbers_beyond_all_are_refused():
    text = result(row("a", [0.5])).to_json()
    for drawn in ({"at": 1e999}, {"label": 1e999}, {"points": [[10**400, 1]]}):
        box = {"at": 0, "kind": "box", "points": [[1, 1]], "label": 1, **drawn}
        with pytest.raises(DataError, match="not a row"):
            Result.from_json(
                json.dumps({**json.loads(text), "rows": [{**json.loads(text)["rows"][0], "drawn": [box]}]})
            )


def test_line_begins_with_model_name_and_two_nocs():
    line = result(row("a", [0.5, 0.86, 0.91])).line()
    assert line.split()[:4] == ["my_model", "drawn", "2.00", "3.00"]
    assert "NoF90=0" in line.split()
    assert "targets=1" in line.split()
    assert "\n" not in line
    assert result(row("a", [0.9])).line("m", "n").startswith("m n 1.00 1.00 ")


def test_figures_of_few_clicks():
    found = result(row("a", [0.5, 0.6]), max_clicks=2)
    assert {"mIoU@1", "mIoU@3"} & set(found.summary()) == {"mIoU@1"}
    with pytest.raises(DataError, match="no IoU at 3 clicks"):
        found.iou_at(3)


def test_no_rows_is_an_error():
    with pytest.raises(DataError, match="no usable target\n- a skip"):
        result()


def test_table_and_remarks():
    found = result(row("a", [0.5]), row("b", [], "RuntimeError: x"), max_clicks=2)
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(result_table([found]))
    console.file.close()
    assert "25.0" in console.export_text()
    assert remarks(found.notes, found.skipped) == ["a note", "not counted: a skip"]


def test_intervals_hold_the_means_and_need_two_images():
    rows = [row(f"{k}", [0.1 * (k % 10), 0.86], image=f"{k // 2}") for k in range(40)]
    found = result(*rows)
    summary = found.summary()
    assert set(found.intervals) == {
        *(f"NoC{t}" for t in (80, 85, 90, 95)),
        *(f"mIoU@{k}" for k in (1, 3, 5, 10, 20)),
        "drops05",
        "drops20",
    }
    for name in ("NoC85", "mIoU@1"):
        assert summary[f"{name}_low"] < summary[name] < summary[f"{name}_high"]
    assert found.intervals["NoC95"] == (20, 20)
    assert re.search(r" NoC85_95%=1\.\d\d\.\.\d\.\d\d ", found.line())
    alone = result(*(row(f"{k}", [0.5]) for k in range(9)))
    assert alone.intervals == {}
    assert "95%" not in alone.line()
    assert "NoC85_low" not in alone.summary()


def test_figures_by_size_of_the_target():
    rows = [replace(row("a", [0.5, 0.9]), size="small"), replace(row("b", [0.9]), size="small")]
    rows.append(replace(row("c", [0.86]), size="large"))
    found = result(*rows)
    assert found.by_size() == {
        "small": {"targets": 2, "NoC85": 1.5, "NoC90": 1.5, "never90": 0.0},
        "large": {"targets": 1, "NoC85": 1.0, "NoC90": 20.0, "never90": 1.0},
    }
    assert found.summary()["NoC90_large"] == 20
    assert found.summary()["targets_small"] == 2
    assert "targets_medium" not in found.summary()
    assert "small" not in found.line()


def shown_by(table):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_tables_show_intervals_and_sizes_in_80_columns():
    rows = [row(f"{k}", [0.3, 0.86 + 0.01 * k], image=f"{k}") for k in range(9)]
    rows += [row(f"{k}", [0.3], image=f"{k}") for k in range(9, 40)]
    found = [result(*rows)] * 2
    needed, by_size = shown_by(result_table(found)), shown_by(size_table(found))
    for text in (needed, by_size):
        assert "…" not in text
        assert max(map(len, text.splitlines())) <= 80
    assert re.search(r" 1\d\.\d-1\d\.\d ", needed)
    assert f" {found[0].noc(0.9):.2f} " in needed
    assert re.search(rf" 40 . +{found[0].noc(0.9):.2f} ", by_size)


def test_drops_are_counted_from_the_second_click_to_the_one_that_finishes_the_target():
    falls = row("a", [0.1, 0.7, 0.64, 0.66, 0.4])  # by .06 and by .26
    found = result(falls, row("b", [0.9], image="j"), row("c", [0.5, 0.45], image="k"))  # .05 is not more than .05
    assert (found.drops(), found.drops(0.2)) == (pytest.approx(100 * 2 / 5), pytest.approx(100 / 5))
    assert found.summary()["drops05"] == pytest.approx(40)
    assert " drops05=40 drops20=20 " in found.line()
    assert result(row("a", [0.9])).drops() == 0


def test_drops_after_a_target_is_finished_count_nowhere():
    stopped = [0.2, 0.99, 0.8, 0.9, 0.96]
    going_on = result(row("a", [*stopped, 0.5, 0.9, 0.1]), full_curves=True)
    assert going_on.drops() == result(row("a", stopped)).drops() == 25


def test_drops_have_an_interval_over_images_weighed_by_clicks():
    rows = [row(f"{k}", [0.1, 0.8] + [0.2, 0.8] * (k % 3), image=f"{k // 2}") for k in range(40)]
    found = result(*rows)
    low, high = found.intervals["drops05"]
    assert low < found.drops() < high
    assert f"drops05_95%={low:.2f}..{high:.2f}" in found.line()
    calm = result(*(row(f"{k}", [0.5, 0.6], image=f"{k}") for k in range(9)))
    assert calm.intervals["drops05"] == (0, 0)


def test_seconds_have_a_median_and_a_tail():
    rows = [row(f"{k}", [0.5], seconds=float(k)) for k in range(101)]
    summary = result(*rows).summary()
    assert (summary["s/click_median"], summary["s/click_p95"]) == (50, 95)


class TestDifferences:
    def test_an_advantage_that_every_target_has_is_sure_though_targets_differ_widely(self):
        slow = result(*(row(f"{k}", [0.1] * (k % 15 + 2) + [0.92], image=f"{k}") for k in range(30)))
        fast = result(*(row(f"{k}", [0.1] * (k % 15 + 1) + [0.92], image=f"{k}") for k in range(30)))
        found = differences(fast, slow)
        assert [found["NoC90"].value, *found["NoC90"].interval] == pytest.approx([-1, -1, -1])
        low, high = fast.intervals["NoC90"]
        assert low < slow.noc(0.9) < high  # apart, the intervals tell nothing
        assert str(found["NoC85"]) == "-1.00 [-1.00, -1.00]"

    def test_drops_are_compared_by_click(self):
        shaky = result(row("a", [0.5, 0.8, 0.5], image="i"), row("b", [0.5, 0.8], image="j"))
        calm = result(row("a", [0.5, 0.8], image="i"), row("b", [0.5, 0.8], image="j"))
        found = differences(shaky, calm)
        assert found["drops05"].value == pytest.approx(100 / 3)
        assert found["drops05"].interval == pytest.approx((0, 50))

    def test_only_targets_of_both_count_and_one_image_has_no_interval(self):
        found = differences(result(row("a", [0.9]), row("b", [0.1])), result(row("a", [0.5, 0.9]), row("c", [0.1])))
        assert (found["NoC90"].value, found["NoC90"].interval) == (-1, None)

    def test_other_targets_or_sets_do_not_compare(self):
        one = result(row("a", [0.9]))
        for other in (result(row("b", [0.9])), replace(one, benchmark="other")):
            with pytest.raises(DataError, match="no common target"):
                differences(one, other)
