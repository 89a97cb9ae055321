import hashlib
from dataclasses import replace

import numpy as np
import pytest

import benchmarks.__main__ as command
from benchmarks import bench_foreign
from benchmarks.bench_foreign import Args, draw_domain, is_target, parts_table, table
from clickgrain.errors import ConfigError, DataError
from clickgrain.evaluation import EvaluationSettings, Result, TargetResult, load_benchmark
from clickgrain.training import config as recipes

TINY = {"photos": 2, "images": 2, "side": 64, "seed": 1}


def test_the_domain_is_two_parts_that_share_nothing(tmp_path):
    photos, labelled = draw_domain(Args(tmp_path, photos=3, images=3, side=64))
    seen = [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.rglob("*.png") if "#" not in path.stem
    ]
    assert len(set(seen)) == len(seen) == 6
    assert sorted(path.name for path in photos.rglob("*")) == ["0000.png", "0001.png", "0002.png"]
    assert sorted(path.name for path in labelled.iterdir()) == ["images", "masks"]


def test_labelled_targets_are_the_exact_masks_in_the_generic_layout(tmp_path):
    args = Args(tmp_path, **TINY)
    _, labelled = draw_domain(args)
    targets = load_benchmark("cells", labelled).targets
    assert {target.image_id for target in targets} <= {path.stem for path in (labelled / "images").iterdir()}
    for target in targets:
        drawn = bench_foreign.draw([1, bench_foreign.LABELLED, int(target.image_id[:4])], side=64)
        kind, number = target.id.rpartition("#")[2].rstrip("0123456789"), target.id.rpartition("#")[2]
        wanted = {"cell": drawn.cells, "nucleus": drawn.nuclei}[kind] == int(number.removeprefix(kind))
        np.testing.assert_array_equal(target.mask((64, 64)), np.where(wanted, 255, 0))
        np.testing.assert_array_equal(target.image(), drawn.image)
        assert is_target(wanted)


def test_drawing_stops_at_nothing_that_is_there_and_refuses_another_domain(tmp_path):
    photos, _ = draw_domain(Args(tmp_path, **TINY))
    first = photos / "0000.png"
    before = first.stat().st_mtime_ns
    draw_domain(Args(tmp_path, **TINY, minutes=3))
    assert first.stat().st_mtime_ns == before
    with pytest.raises(DataError, match="other settings"):
        draw_domain(Args(tmp_path, **(TINY | {"seed": 2})))


def test_small_or_torn_regions_are_no_targets():
    whole, torn, small = (np.zeros((64, 64), bool) for _ in range(3))
    whole[10:20, 10:20] = True
    torn[10:20, 10:14] = torn[10:20, 16:20] = True
    small[5:8, 5:8] = True
    assert [is_target(mask) for mask in (whole, torn, small)] == [True, False, False]
    assert is_target(small, fields=2)


@pytest.mark.parametrize("wrong", [{"photos": 0}, {"images": 0}, {"cells": 0, "nuclei": 0}])
def test_an_empty_domain_is_refused(wrong):
    with pytest.raises(ConfigError, match="--photos"):
        Args(**wrong)


def test_tables_show_means_and_differences_on_the_same_targets():
    base = result({"a-phase#cell1": (0.5, 0.86, 0.92), "b-relief#nucleus2": (0.5, 0.6, 0.91)})
    better = result({"a-phase#cell1": (0.9, 0.9, 0.92), "b-relief#nucleus2": (0.7, 0.6, 0.91)})
    lines = table({"default": base, "learned": better}).splitlines()
    assert lines[2] == "| default | 2.500 | 3.000 | 0.500 |"
    assert lines[3].startswith(
        "| learned | 2.000 (-0.500, -1.000 to +0.000) | 2.000 (-1.000, -2.000 to +0.000) | 0.800"
    )
    parts = parts_table(better, base)
    assert "| cell | 1 | 1.000 (-1.000) | 1.000 (-2.000) | 0.900 (+0.400) |" in parts
    assert "| relief, nucleus | 1 | 3.000 (+0.000) | 3.000 (+0.000) | 0.700 (+0.200) |" in parts


def result(curves):
    rows = tuple(
        TargetResult(id_, id_[:1], 0.02, "small", ious, ious, (0,) * 3, ((1, 1, 1),) * 3, (0.01,) * 3, 0.1)
        for id_, ious in curves.items()
    )
    return Result("model", "cells", "robot", EvaluationSettings(max_clicks=3), rows)


def test_the_command_runs_from_drawing_to_tables_and_goes_on(tmp_path, monkeypatch):
    small = recipes.grain_small()
    tiny = replace(small.args, batch=2, validation_targets=1, data=replace(small.args.data, crop=64))
    monkeypatch.setitem(recipes.RECIPES, "grain-small", lambda: replace(small, args=tiny))
    args = Args(tmp_path, **(TINY | {"images": 1}), cells=1, nuclei=0, steps=1)
    text = bench_foreign.run(args)
    assert [line.split("|")[1].strip() for line in text.splitlines()[2:5]] == ["tree", "default", "learned"]
    assert (tmp_path / "foreign.md").read_text() == text
    weights = tmp_path / "model" / "model.safetensors"
    before = weights.read_bytes()
    assert bench_foreign.run(args) == text
    assert weights.read_bytes() == before


def test_the_long_benchmark_runs_only_when_it_is_named(monkeypatch):
    started = []

    class Done:
        returncode = 0

    monkeypatch.setattr(command.subprocess, "run", lambda line, check: started.append(line[-1]) or Done())
    monkeypatch.setattr(command.sys, "argv", ["benchmarks"])
    assert command.main() == 0
    assert "benchmarks.bench_foreign" not in started
    assert "benchmarks.bench_tree" in started
    monkeypatch.setattr(command.sys, "argv", ["benchmarks", "foreign"])
    assert command.main() == 0
    assert started[-1] == "benchmarks.bench_foreign"
