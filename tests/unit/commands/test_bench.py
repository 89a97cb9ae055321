"""`clickgrain bench` on three tiny photos, and the arithmetic behind its last line."""

import json
import time
from dataclasses import replace

import cv2
import numpy as np

from clickgrain import cli
from clickgrain.commands import bench
from clickgrain.commands.bench import Clock, Stage, propose_limit, table
from clickgrain.training import config

NAMES = [
    "list",
    "read",
    "decode",
    "features",
    "merge",
    "store write",
    "store read",
    "training step",
    "encode",
    "click",
]


def test_every_stage_is_measured(tmp_path, capsys, monkeypatch):
    small = config.grain_small()
    args = replace(small.args, batch=2, data=replace(small.args.data, crop=64))
    monkeypatch.setattr(config, "grain_small", lambda: replace(small, args=args))
    monkeypatch.setattr(bench, "STEPS", 3)
    rng = np.random.default_rng(0)
    for i in range(3):
        coarse = rng.integers(0, 255, (4, 5, 3), np.uint8)
        (tmp_path / "photos").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "photos" / f"{i}.png"), cv2.resize(coarse, (160, 128), interpolation=0))
    flags = ["--count", "6", "--extractor", "color-texture", "--model", "tree", "--device", "cpu"]
    assert cli.main(["bench", str(tmp_path / "photos"), *flags, "--out", str(tmp_path / "b.json")]) == 0
    found = json.loads((tmp_path / "b.json").read_text())
    names = [stage["name"] for stage in found["stages"]]
    assert names == NAMES
    counts = {stage["name"]: stage["images"] for stage in found["stages"]}
    assert (counts["list"], counts["merge"], counts["store read"]) == (3, 6, 6)
    assert all(stage["seconds"] > 0 and stage["mb"] > 10 for stage in found["stages"])
    assert 0 <= found["waited"] < 1
    shown = capsys.readouterr().out
    assert all(name in shown for name in names)
    assert "training waits for data" in shown


def test_the_limit_of_a_stage(monkeypatch):
    monkeypatch.setattr(bench, "_queued", lambda: 0.0)
    clock = Clock("cpu")
    with clock.stage("asleep", 1, "disk"):
        time.sleep(0.05)
    with clock.stage("busy", 1, "disk"):
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
    monkeypatch.setattr(bench, "_queued", time.perf_counter)  # ready to run all the time, on a busy machine
    with clock.stage("starved", 1, "disk"):
        time.sleep(0.05)
    asleep, busy, starved = clock.stages
    assert (asleep.limit, starved.limit) == ("disk", "processor")
    assert asleep.cores < 0.5
    assert busy.seconds >= 0.05


def test_what_all_cores_do_together():
    stages = [
        Stage("decode", 10, 0.1, 1.0, 0, ""),  # 10 ms of processor time an image
        Stage("features", 10, 0.4, 0.5, 0, ""),  # 20
        Stage("merge", 10, 0.6, 1.0, 0, ""),  # 60
        Stage("store write", 10, 0.1, 1.0, 0, ""),  # 10
        Stage("click", 10, 9.0, 1.0, 0, ""),
    ]
    assert (
        propose_limit(stages, 4) == "propose: at most 40 images a second on 4 cores; merge takes 60% of their time"
    )
    assert table(stages).splitlines()[3].split()[:3] == ["merge", "16.7", "60.00"]


def test_no_images(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    assert cli.main(["bench", str(tmp_path)]) == 2
    assert cli.main(["bench", str(tmp_path), "--count", "0"]) == 2
