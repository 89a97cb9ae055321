"""Several processes: they hold the same weights, those that one process with the whole batch would hold."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import distributed

SCRIPT = Path(__file__).with_name("two_processes.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What two processes left after three steps."""
    if not (distributed.is_available() and distributed.is_gloo_available()):
        pytest.skip("this torch was built without gloo, which lets CPU processes talk to each other")
    out = tmp_path_factory.mktemp("processes")
    ours = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK", "LOCAL_RANK", "NODE_RANK")
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT), str(out)], check=False, capture_output=True, text=True,
        timeout=300, env=environment | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def test_both_hold_the_same_weights(folder):
    first, second = (torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_they_learn_what_one_process_would_from_the_whole_batch(folder):
    together, alone = (torch.load(folder / name, weights_only=True) for name in ("rank0.pt", "alone.pt"))
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=1e-2, atol=1e-4)


def test_only_the_first_writes(folder):
    lines = [json.loads(line) for line in (folder / "two" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    files = {"config.json", "metrics.jsonl", "model.safetensors", "state.pt", "state-before.pt"}
    assert {path.name for path in (folder / "two").iterdir()} == files
