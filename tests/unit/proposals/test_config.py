import subprocess
import sys

import pytest

from clickgrain.errors import ConfigError
from clickgrain.proposals.config import ProposeArgs, Sampler, Shard


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"name": "depth"}, "--sampler.name"),
        ({"decay": 0.0}, "--sampler.decay"),
        ({"decay": 1.1}, "--sampler.decay"),
        ({"min_area": -0.1}, "--sampler.min-area"),
        ({"min_area": 0.5, "max_area": 0.4}, "--sampler.max-area"),
    ],
)
def test_sampler_names_the_wrong_flag(settings, flag):
    with pytest.raises(ConfigError, match=flag):
        Sampler(**settings)


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"shard": "0/2"}, "--shard"),
        ({"batch": 0}, "--batch"),
        ({"workers": -1}, "--workers"),
        ({"long_side": -1}, "--long-side"),
        ({"connectivity": 5}, "--connectivity"),
        ({"linkage": "single"}, "--linkage"),
    ],
)
def test_propose_args_name_the_wrong_flag(tmp_path, settings, flag):
    with pytest.raises(ConfigError, match=flag):
        ProposeArgs(tmp_path, tmp_path / "trees.db", **settings)


@pytest.mark.parametrize("text", ["", "3", "3/2", "0/2", "a/b", "1/0", "-1/2", "1/2/3", "1/" + "9" * 5000])
def test_shard_refuses(text):
    with pytest.raises(ConfigError, match="--shard"):
        Shard.parse(text)


def test_shards_part_the_keys_without_gap_or_overlap():
    keys = [f"folder {i % 3}/photo {i}.jpg" for i in range(300)]
    parts = [{k for k in keys if Shard.parse(f"{i}/4").holds(k)} for i in (1, 2, 3, 4)]
    assert sum(len(p) for p in parts) == len(keys)
    assert set().union(*parts) == set(keys)
    assert min(len(p) for p in parts) > 45


def test_arguments_load_nothing_heavy():
    code = (
        "import sys, clickgrain.proposals.config;"
        "print(sorted({'torch', 'cv2', 'numba', 'transformers', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
