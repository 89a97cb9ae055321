"""Settings check themselves and tell which of them decide what the weights become."""

import json

import pytest

from clickgrain.clicks.config import ClickSimulation
from clickgrain.errors import ConfigError
from clickgrain.training.config import DataArgs, TrainArgs


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0), ("batch", 0), ("lr", 0.0), ("lr", float("nan")), ("clip", -1.0), ("warmup", -1), ("ema", 1.0),
        ("ema", -0.1), ("weight_decay", -0.1), ("threads", -1), ("validate_every", -1), ("checkpoint_every", -1.0),
        ("validation_targets", 0), ("seed", -1),
    ],
)  # fmt: skip
def test_settings_out_of_range_name_the_flag(name, value):
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')}"):
        TrainArgs(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crop", 33), ("crop", 0), ("photo_side", 16), ("window", (0.9, 0.5)), ("window", (0.0, 1.0)),
        ("window", (1.0, 5.0)), ("rotate", 1.1), ("composites", -0.1), ("held_out", 2.0), ("masks_per_image", 0),
        ("whole_looks", -0.5),
        ("composites_per_photo", -1.0), ("color", -0.1),
    ],
)  # fmt: skip
def test_data_settings_out_of_range_name_the_flag(name, value):
    with pytest.raises(ConfigError, match=f"--data.{name.replace('_', '-')}"):
        DataArgs(**{name: value})


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 9}, {"batch": 3}, {"lr": 1.0}, {"seed": 1}, {"precision": "float32"}, {"ema": 0.5}, {"clip": 2.0},
        {"supervise": "last"}, {"data": DataArgs(crop=64)}, {"clicks": ClickSimulation.paper()}, {"warmup": 3},
        {"learns": "first"},
    ],
)  # fmt: skip
def test_the_fingerprint_holds_what_decides_the_weights(changes):
    assert TrainArgs(**changes).fingerprint() != TrainArgs().fingerprint()


@pytest.mark.parametrize(("former", "name"), [("32-true", "float32"), ("bf16-mixed", "bf16")])
def test_precisions_by_their_former_names_are_the_same_run(former, name):
    assert TrainArgs(precision=former) == TrainArgs(precision=name)
    stored = json.dumps({"precision": former})[1:-1]
    assert stored in json.dumps(TrainArgs(precision=name).hashed(), sort_keys=True)


def test_the_fingerprint_leaves_out_what_does_not():
    other = TrainArgs(threads=3, validate_every=9, validation_targets=4, checkpoint_every=1.0)
    assert other.fingerprint() == TrainArgs().fingerprint()
