"""The benchmark of a training step: its parts add up, and it names the machine."""

import sys

from benchmarks import bench_train
from clickgrain.features.config import EncoderConfig
from clickgrain.models.config import GrainConfig
from clickgrain.training.config import DataArgs, Recipe, TrainArgs


def test_it_prints_the_share_of_every_part(monkeypatch, capsys):
    config = GrainConfig(EncoderConfig((4, 4, 6, 8, 8), (1, 1, 1, 1, 1)), (4, 4, 6, 8), long_side=64)
    tiny = Recipe(config, TrainArgs(batch=2, data=DataArgs(crop=64, photo_side=96)))
    monkeypatch.setattr(bench_train, "load_recipe", lambda name, device: tiny)
    monkeypatch.setattr(bench_train, "LEARN", bench_train.LEARN[:2])
    monkeypatch.setattr(bench_train, "HELD_OUT", ())
    monkeypatch.setattr(sys, "argv", ["bench_train", "--steps", "2", "--device", "cpu"])
    bench_train.main()
    machine, asked, *table = capsys.readouterr().out.splitlines()
    assert "threads" in machine
    assert asked.startswith("2 steps of 2 crops of 64 px")
    assert table[0].split() == ["float32", "bf16"]
    rows = {line[:18].strip(): line[18:].split() for line in table[1:]}
    assert all(float(seconds) > 0 for seconds in rows["seconds a step"] + rows["processor s a step"])
    for column in (0, 1):
        shares = {part: float(rows[part][column].rstrip("%")) for part in bench_train.ORDER}
        assert abs(sum(shares.values()) - 100) < 1
        worked = {"encoder", "decoder forward", "backward", "click maps", "loss", "crops", "optimizer"}
        assert all(shares[part] > 0 for part in worked)
        assert shares["rest"] < 50
