import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clickgrain.errors import DataError
from clickgrain.evaluation import BASELINES, Benchmark, EvaluationSettings, OpenCVGrabCut, Result, evaluate
from clickgrain.evaluation.committed import FOLDER, LIMITS, find_kept, keep, rounded
from clickgrain.evaluation.fingerprint import data_hash
from clickgrain.evaluation.journal import header, read_header, read_rows

ROOT = Path(__file__).parents[3]
KEPT = sorted((ROOT / FOLDER).glob("*.jsonl"))
SETTINGS = {**EvaluationSettings(max_clicks=2).to_dict(), "user": "robot"}


def benchmark(shift=0):
    image = np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8)
    masks = [np.zeros((20, 20), bool) for _ in range(2)]
    for k, mask in enumerate(masks):
        mask[4 + k : 15, 3 + shift : 12] = True
    return Benchmark.of([(image, mask) for mask in masks], "drawn")


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "out" / "opencv-grabcut--drawn.jsonl"
    evaluate(OpenCVGrabCut(), benchmark(), max_clicks=2, jsonl=path, method="0" * 20)
    return path


def head(model="opencv-grabcut", name="drawn", method="0" * 20, shift=0, settings=SETTINGS):
    return header(model, name, settings, method=method, data=data_hash(benchmark(shift)))


def test_kept_rows_are_found_and_evaluated_no_more(source, tmp_path):
    path = keep(source, tmp_path / "kept")
    kept, reason = find_kept(tmp_path / "kept", head(name="by another name"))
    assert (kept.path, reason) == (path, "")

    class Never:
        def set_image(self, image):
            raise AssertionError("not needed")

        predict = set_image

    again = tmp_path / "again.jsonl"
    result = evaluate(Never(), benchmark(), max_clicks=2, known=kept.rows, jsonl=again)
    assert [row.id for row in result.rows] == ["0", "1"]
    assert not result.failed
    assert read_rows(again) == kept.rows


def test_what_is_missing_is_evaluated(source, tmp_path):
    rows = read_rows(source)
    result = evaluate(OpenCVGrabCut(), benchmark(), max_clicks=2, known={"1": rows["1"]})
    assert [row.ious for row in result.rows] == [row.ious for row in rows.values()]


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"method": "1" * 20}, "another method hash"),
        ({"shift": 1}, "another data hash"),
        ({"model": "graph-cut"}, ""),
        ({"settings": {**SETTINGS, "user": "noisy-0"}}, ""),
    ],
)
def test_what_does_not_match_is_left_alone(source, tmp_path, wanted, reason):
    keep(source, tmp_path / "kept")
    kept, said = find_kept(tmp_path / "kept", head(**wanted))
    assert kept is None
    assert said.endswith(reason)
    assert bool(said) == bool(reason)


def test_no_folder_and_foreign_files(tmp_path):
    assert find_kept(tmp_path / "nowhere", head()) == (None, "")
    (tmp_path / "notes.jsonl").write_text("hello\n")
    kept, said = find_kept(tmp_path, head())
    assert kept is None
    assert "notes.jsonl: not an evaluation" in said


def test_rounding_changes_no_noc(source, tmp_path):
    rng = np.random.default_rng(0)
    ious = [*(rng.random(50)), *LIMITS, *(limit - 1e-9 for limit in LIMITS), 0.899996]
    short = rounded({"ious": ious, "id": "a", "click_seconds": [0.123456]})
    assert [[v >= limit for v in ious] for limit in LIMITS] == [
        [v >= limit for v in short["ious"]] for limit in LIMITS
    ]
    assert np.abs(np.array(ious) - short["ious"]).max() <= 5e-6
    assert (short["id"], short["click_seconds"]) == ("a", [0.1235])
    assert len(keep(source, tmp_path).read_text()) < 0.8 * len(source.read_text())


def test_a_file_without_hashes_is_refused_unless_they_are_given(tmp_path):
    path = tmp_path / "old.jsonl"
    evaluate(OpenCVGrabCut(), benchmark(), max_clicks=1, jsonl=path)
    with pytest.raises(DataError, match=r"lacks the hash of method; give --data"):
        keep(path, tmp_path / "kept")
    assert read_header(keep(path, tmp_path / "kept", {"method": "1"}))["method"] == "1"


@pytest.mark.parametrize("changed", [{"method": "2"}, {"shift": 1}])
def test_a_file_of_other_code_or_data_does_not_go_on(tmp_path, changed):
    path = tmp_path / "rows.jsonl"
    run = {"max_clicks": 1, "jsonl": path}
    evaluate(OpenCVGrabCut(), benchmark(), method="1", **run)
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"rows\.jsonl: the .* changed since it was begun .* must not mix"):
        evaluate(OpenCVGrabCut(), benchmark(changed.get("shift", 0)), method=changed.get("method", "1"), **run)
    assert path.read_bytes() == before
    evaluate(OpenCVGrabCut(), benchmark(), method="1", targets=1, **run)


def test_the_command_keeps_finished_evaluations(source, tmp_path):
    cut = source.with_name("cut.jsonl")
    lines = source.read_text().splitlines(keepends=True)
    cut.write_text(
        "".join([json.dumps({**json.loads(lines[0]), "method": None, "model": "cut"}) + "\n", *lines[1:]])
    )
    command = [sys.executable, ROOT / "benchmarks" / "keep_results.py", source.parent, "--to", tmp_path / "kept"]
    done = subprocess.run([*command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("opencv-grabcut--drawn.jsonl: 2 targets, ")
    assert "cut.jsonl: its header lacks the hash of method" in done.stderr
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["opencv-grabcut--drawn.jsonl"]


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
class TestInTheRepository:
    def test_it_is_whole_and_its_figures_can_be_made(self, path):
        head, rows = read_header(path), read_rows(path)
        settings = {key: value for key, value in head["settings"].items() if key != "user"}
        result = Result(
            head["model"], head["benchmark"], "robot", EvaluationSettings(**settings), tuple(rows.values())
        )
        assert not result.failed
        assert 1 <= result.noc(0.85) <= result.noc(0.9) <= 20
        assert path.name == f"{head['model']}--{head['benchmark']}.jsonl"

    def test_it_says_what_it_depends_on(self, path):
        head = read_header(path)
        assert head["model"] in BASELINES
        assert all(re.fullmatch(r"[0-9a-f]{20}", head[key]) for key in ("method", "data"))

    def test_it_names_no_place(self, path):
        assert "/" not in path.read_text()
