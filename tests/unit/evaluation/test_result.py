import json

import pytest
from rich.console import Console

from clickgrain.errors import DataError
from clickgrain.evaluation import EvaluationSettings, Result, TargetResult, result_table
from clickgrain.evaluation.report import remarks


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
    lines = remarks(found.notes, found.skipped, [f"{bad.id}: {bad.error}" for bad in found.failed])
    assert lines == [
        "a note",
        "not counted: a skip",
        "counted as never reached: b: RuntimeError: x",
    ]
