"""tools/grow_model.py: a model folder in, a larger one that answers the same out."""

import subprocess
import sys
from pathlib import Path

import pytest

from clickgrain.models.registry import load_click_model

TOOL = Path(__file__).parents[2] / "tools" / "grow_model.py"


def run(*arguments):
    return subprocess.run([sys.executable, TOOL, *map(str, arguments)], capture_output=True, text=True)


def test_the_model_in_the_package_grows(tmp_path):
    before = load_click_model("default")
    done = run("--out", tmp_path / "large", "--encoder", *(2 * w for w in before.config.encoder.widths),
               "--depths", *(d + 1 for d in before.config.encoder.depths),
               "--decoder", *before.config.decoder_widths)  # fmt: skip
    assert done.returncode == 0, done.stderr
    after = load_click_model(tmp_path / "large")
    count = sum(p.numel() for p in after.parameters())
    assert done.stdout == f"{tmp_path / 'large'}: {count / 1e6:.2f} million parameters\n"
    assert after.config.encoder.widths == tuple(2 * w for w in before.config.encoder.widths)
    assert after.config.decoder_widths == before.config.decoder_widths


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--model", "nowhere/to/be/found"), "nowhere/to/be/found"), (("--decoder", 1, 1, 1, 1), "whole multiples")],
)
def test_what_cannot_be_done_is_said_in_a_line(tmp_path, arguments, message):
    done = run("--out", tmp_path / "large", *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "large").exists()
