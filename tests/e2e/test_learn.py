"""I have a folder of unlabelled photos and want a click model of my own, with one command."""

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import pytest

from clickgrain.training import config as recipes
from clickgrain.training import validation
from clickgrain.training.config import DataArgs, Recipe, TrainArgs


@pytest.fixture
def photos(tmp_path, disk, save):
    for number in range(6):
        save(tmp_path / "photos" / f"{number}.png", disk(shift=6 * number, seed=number)[0])
    return tmp_path / "photos"


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """`grain-small` on crops of 64 pixels, validated by few clicks."""
    from clickgrain.features.config import EncoderConfig
    from clickgrain.models.config import GrainConfig

    config = GrainConfig(EncoderConfig((4, 4, 6, 8, 8), (1, 1, 1, 1, 1)), (4, 4, 6, 8), long_side=64)
    args = TrainArgs(
        steps=3, batch=2, precision="32-true", validation_targets=2, data=DataArgs(crop=64, photo_side=96)
    )  # fmt: skip
    monkeypatch.setitem(recipes.RECIPES, "grain-small", lambda: Recipe(config, args))
    monkeypatch.setattr(validation, "MOST_CLICKS", 2)
    monkeypatch.setattr(validation, "CLICKS", (1,))


def test_from_photos_to_a_mask(clickgrain, photos, tmp_path):
    out = tmp_path / "model"
    status, printed, said = clickgrain("learn", photos, "--out", out, "--device", "cpu")
    assert (status, printed) == (0, f"{out}\n")
    assert "3 steps on" in said
    assert "proposals NoC85" in said
    assert list((out / "previews").glob("*.png"))
    status, printed, _ = clickgrain(
        "segment", photos / "0.png", "--click", "50,48", "--model", out, "--out", tmp_path / "mask.png"
    )
    assert status == 0
    assert cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_UNCHANGED).shape == (96, 128)


def test_the_same_command_again_is_done_at_once(clickgrain, photos, tmp_path):
    command = ("learn", photos, "--out", tmp_path / "model", "--device", "cpu")
    first = clickgrain(*command)
    written = (tmp_path / "model" / "model.safetensors").stat().st_mtime_ns
    again = clickgrain(*command)
    assert first[:2] == again[:2]
    assert "3 steps on" in again[2]
    assert "proposals NoC85" in again[2]
    assert (tmp_path / "model" / "model.safetensors").stat().st_mtime_ns == written


def test_other_settings_are_not_mixed_into_a_run(clickgrain, photos, tmp_path):
    command = ("learn", photos, "--out", tmp_path / "model", "--device", "cpu")
    clickgrain(*command)
    status, printed, said = clickgrain(*command, "--seed", 3)
    assert (status, printed) == (1, "")
    assert "model holds a run with other settings (seed)" in said


def test_broken_photos_are_named_at_the_end(clickgrain, photos, tmp_path):
    (photos / "broken.jpg").write_bytes(b"no photo")
    status, _, said = clickgrain("learn", photos, "--out", tmp_path / "model", "--device", "cpu")
    assert status == 0
    assert "broken.jpg" in said
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_a_folder_without_photos(clickgrain, tmp_path):
    (tmp_path / "empty").mkdir()
    status, printed, said = clickgrain("learn", tmp_path / "empty", "--out", tmp_path / "model")
    assert (status, printed) == (1, "")
    assert "empty: no images found" in said


def test_the_two_halves_one_after_the_other(clickgrain, photos, tmp_path):
    clickgrain("propose", photos, "--out", tmp_path / "trees", "--extractor", "color-texture")
    out = tmp_path / "model"
    status, printed, _ = clickgrain("train", photos, "--store", tmp_path / "trees", "--out", out, "--device", "cpu")
    assert (status, printed) == (0, f"{out}\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_and_the_same_command_again(photos, tmp_path, number):
    """A process of its own, with the real recipe: stopped at its first steps, it leaves a state to go on from."""
    out = tmp_path / "model"
    command = [
        sys.executable, "-m", "clickgrain", "learn", str(photos), "--out", str(out), "--device", "cpu",
        "--crop", "64", "--batch", "1", "--steps", "100000",
    ]  # fmt: skip
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    for _ in range(1200):
        if (out / "metrics.jsonl").is_file() or process.poll() is not None:
            break
        time.sleep(0.1)
    process.send_signal(number)
    printed, said = process.communicate(timeout=120)
    assert (process.returncode, printed) == (130, ""), said
    assert said.rstrip().endswith("interrupted; finished work is kept")
    assert (out / "state.pt").is_file()
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, len(steps) + 1))
