"""Several processes: they hold the same weights, those that one process with the whole batch would hold."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
import torch
from torch import distributed

from clickgrain.errors import ConfigError, TrainingError
from clickgrain.features import load_extractor
from clickgrain.models.registry import load_click_model
from clickgrain.proposals.pipeline import propose
from clickgrain.training.config import LearnArgs
from clickgrain.training.learn import learn
from clickgrain.training.loop import fit

SCRIPT = Path(__file__).with_name("two_processes.py")


OURS = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK", "LOCAL_RANK", "NODE_RANK")


def start(*words, **more):
    if not (distributed.is_available() and distributed.is_gloo_available()):
        pytest.skip("this torch was built without gloo, which lets CPU processes talk to each other")
    environment = {key: value for key, value in os.environ.items() if key not in OURS}
    return subprocess.run(
        [sys.executable, "-W", "ignore", *map(str, words)], check=False, capture_output=True, text=True,
        timeout=300, env=environment | {"OMP_NUM_THREADS": "1"} | more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What two processes left after four steps."""
    out = tmp_path_factory.mktemp("processes")
    done = start(SCRIPT, out)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def losses(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.parametrize("run", ["two", "parts", "four parts"])
def test_losses_are_those_of_one_process_on_the_global_batch(folder, run):
    alone = losses(folder / "one")
    assert len(alone) == 4
    assert losses(folder / run)[0] == pytest.approx(alone[0], rel=1e-6)  # of the same weights
    assert losses(folder / run) == pytest.approx(alone, rel=1e-3)  # Adam turns tiny differences into small ones


@pytest.mark.parametrize(("run", "processes"), [("from two to one", 1), ("from one to two", 2)])
def test_a_run_continues_on_another_number_of_processes(folder, run, processes):
    assert f"{run}, {processes}, 2" in (folder / "sessions.txt").read_text().splitlines()  # two steps were left
    assert losses(folder / run) == pytest.approx(losses(folder / "one"), rel=1e-3)


def test_a_killed_process_ends_the_run_cleanly_and_it_resumes(folder, tmp_path):
    (tmp_path / "killed").mkdir()
    words = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, SCRIPT, tmp_path, "killed")
    first = start(*words)
    assert first.returncode != 0
    assert (tmp_path / "killed" / "died").exists()
    assert (tmp_path / "killed" / "told").exists()
    assert "ended: " in first.stderr
    state = torch.load(tmp_path / "killed" / "state.pt", weights_only=True)
    assert state["step"] == 2
    again = start(*words)
    assert again.returncode == 0, again.stderr[-3000:]
    assert losses(tmp_path / "killed") == losses(folder / "two")  # as if nothing had been


class TestRestarts:
    WORDS = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, "--max-restarts", 1, SCRIPT)

    @pytest.fixture(autouse=True)
    def slow(self, tmp_path):
        if os.environ.get("CLICKGRAIN_FAULTS") != "all":
            pytest.skip("half a minute each; run by make faults")
        (tmp_path / "killed").mkdir()

    def test_torchrun_starts_a_killed_run_again(self, folder, tmp_path):
        done = start(*self.WORDS, tmp_path, "killed", TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1")
        assert done.returncode == 0, done.stderr[-3000:]
        assert (tmp_path / "killed" / "died").exists()
        assert losses(tmp_path / "killed") == losses(folder / "two")

    def test_without_a_store_for_each_start_it_says_what_is_needed(self, tmp_path):
        done = start(*self.WORDS, tmp_path, "killed")
        assert done.returncode != 0
        assert "needs TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1" in done.stderr


def test_the_command_line_under_torchrun(tmp_path, drawn):
    (tmp_path / "photos").mkdir()
    for seed in range(6):
        cv2.imwrite(str(tmp_path / "photos" / f"{seed}.png"), drawn(seed))
    propose(tmp_path / "photos", tmp_path / "t.db", extractor=load_extractor("color-texture"), progress=False)
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, "-m", "clickgrain")
    what = (tmp_path / "photos", "--out", tmp_path / "run", "--extractor", "color-texture", "--device", "cpu")
    small = ("--recipe", "grain-small", "--from-scratch", "--steps", 2, "--batch", 4, "--crop", 64)
    done = start(*torchrun, "train", *what, *small, "--store", tmp_path / "t.db", "--accumulate", 2)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == [str(tmp_path / "run")]
    assert len(losses(tmp_path / "run")) == 2
    assert load_click_model(str(tmp_path / "run"))


def test_a_batch_that_processes_cannot_share_is_refused(mixed, make_model, settings, tmp_path):
    with pytest.raises(TrainingError, match=r"2 processes cannot share --batch 3 evenly in --accumulate 1 parts"):
        fit(make_model(), mixed, [0], settings(batch=3), tmp_path, fabric=SimpleNamespace(world_size=2))


def test_learn_takes_one_process(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="run `clickgrain propose` once"):
        learn(LearnArgs(tmp_path, tmp_path / "run"))


def test_both_hold_the_same_weights(folder):
    first, second = (torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_they_learn_what_one_process_would_from_the_whole_batch(folder):
    together, alone = (torch.load(folder / name, weights_only=True) for name in ("rank0.pt", "alone.pt"))
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=1e-2, atol=1e-4)


def test_only_the_first_writes(folder):
    lines = [json.loads(line) for line in (folder / "two" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    files = {"config.json", "metrics.jsonl", "model.safetensors", "state.pt", "state-before.pt"}
    assert {path.name for path in (folder / "two").iterdir()} == files
