"""What commands leave behind, to compare broken and undisturbed runs by."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import torch

COMMANDS = "propose", "train", "learn"
NOT_COMPARED = ("seconds", "waited")  # in a line of metrics.jsonl


def store_of(name: str, folder: Path) -> Path:
    """Where a command has its trees."""
    return folder / "model" / "proposals.db" if name == "learn" else folder / "trees.db"


def begin(name: str, folder: Path, whole: Path) -> Path:
    """A folder for a command, with the trees of the undisturbed run if it takes them."""
    folder.mkdir(parents=True, exist_ok=True)
    if name == "train":
        shutil.copy(whole / "trees.db", store_of(name, folder))
    return folder


def assert_whole(name: str, folder: Path, whole: Path) -> None:
    """What a command has left is what the undisturbed run has, and no more."""
    assert trees_of(store_of(name, folder)) == trees_of(whole / "trees.db")
    if name != "propose":
        assert result_of(folder / "model") == result_of(whole / "model")
    assert_clean(folder)


def trees_of(path: Path) -> dict[str, tuple]:
    """All that a store holds of each photo; nothing without one. The table forbids a photo twice."""
    if not path.is_file():
        return {}
    with closing(sqlite3.connect(path)) as db:
        tables = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'trees'").fetchone()[0]
        return {row[0]: row for row in db.execute("SELECT * FROM trees")} if tables else {}


def steps_of(folder: Path) -> int:
    """Steps that the state of a run holds."""
    path = folder / "state.pt"
    return torch.load(path, weights_only=True)["step"] if path.is_file() else 0


def result_of(folder: Path) -> dict[str, object]:
    """What decides whether two runs are the same: weights and averages to the last bit, and what was measured."""
    state = torch.load(folder / "state.pt", weights_only=True)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {
        "weights": (folder / "model.safetensors").read_bytes(),
        "config": (folder / "config.json").read_bytes(),
        "step": state["step"],
        "own weights": {name: value.numpy().tobytes() for name, value in state["model"].items()},
        "metrics": [{key: line[key] for key in line if key not in NOT_COMPARED} for line in lines],
    }


def assert_clean(folder: Path) -> None:
    """No file that was only half written lies about."""
    assert not [path.name for path in folder.rglob("*") if path.suffix in (".tmp", ".part")]
