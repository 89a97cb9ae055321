"""The tool that keeps figures of slow methods: a row per method and set, replaced when measured again."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from clickgrain.evaluation import Benchmark, OpenCVGrabCut, data_hash, evaluate

TOOL = Path(__file__).parents[3] / "tools" / "keep_baselines.py"


@pytest.fixture
def tool(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("keep_baselines", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "TABLE", tmp_path / "table.json")
    return module


def test_a_row_says_what_was_measured_and_replaces_the_one_before(tool, tmp_path):
    mask = np.zeros((24, 30), bool)
    mask[6:18, 8:22] = True
    image = np.where(mask[..., None], 200, 40).astype(np.uint8) * np.ones(3, np.uint8)
    benchmark = Benchmark.of([(image, mask)], "squares")
    out = tmp_path / "out"
    result = evaluate(OpenCVGrabCut(), benchmark, jsonl=out / "x.jsonl", max_clicks=3)
    (out / "x.json").write_text(result.to_json())
    other = {"method": "slow", "data": "squares", "figures": {}}
    old = {"method": "opencv-grabcut", "data": "squares", "figures": {}}
    (tmp_path / "table.json").write_text(json.dumps({"rows": [other, old]}))
    tool.main(out)
    row, kept = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert kept == other
    assert (row["method"], row["data_hash"], row["max_clicks"]) == ("opencv-grabcut", data_hash(benchmark), 3)
    assert row["figures"]["NoC85"] == round(result.noc(0.85), 5)
    assert row["command"].endswith("--model opencv-grabcut --data squares=DIR --max-clicks 3")
    assert row["versions"]["scipy"]
