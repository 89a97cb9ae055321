"""Settings of the click simulation: their checks, their two presets, and the plan of a sample."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tyro

from clickgrain.clicks.config import CENTRE_MAPS, LEAF_MAPS, MAP_NAMES, ClickSimulation, MapSpec
from clickgrain.errors import ConfigError


def test_paper_is_the_default_and_has_none_of_ours():
    paper = ClickSimulation.paper()
    assert paper == ClickSimulation()
    assert (paper.max_points, paper.decay, paper.erosion, paper.share_erosion) == (24, 0.8, 3, 0.9)
    assert (paper.min_eroded, paper.share_border, paper.border_ratio, paper.corrective) == (10, 0.5, 0.1, (0, 3))
    ours = ("single", "recursive", "sibling", "box", "scribble", "bare", "level")
    assert all(getattr(paper, f"share_{name}") == 0 for name in ours)
    assert all(getattr(ClickSimulation.grain(), f"share_{name}") > 0 for name in ours)


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"max_points": 0}, "--max-points 0"),
        ({"decay": 0.0}, "--decay 0.0"),
        ({"decay": float("nan")}, "--decay nan"),
        ({"erosion": -1}, "--erosion -1"),
        ({"min_eroded": -1}, "--min-eroded -1"),
        ({"border_ratio": 0.0}, "--border-ratio 0.0"),
        ({"corrective": (2, 1)}, "--corrective (2, 1)"),
        ({"recursive": (-1, 1)}, "--recursive (-1, 1)"),
        ({"share_erosion": 1.1}, "--share-erosion 1.1"),
        ({"share_box": -0.1}, "--share-box -0.1"),
        ({"share_single": 0.6, "share_recursive": 0.6}, "--share-single 0.6 and --share-recursive 0.6"),
    ],
)
def test_bad_settings_are_refused_with_their_flag(changes, flag):
    with pytest.raises(ConfigError) as error:
        replace(ClickSimulation(), **changes)
    assert flag in str(error.value)


def test_paper_plans_are_bare_clicks_with_none_to_three_rounds():
    rng = np.random.default_rng(0)
    plans = [ClickSimulation.paper().plan(rng) for _ in range(2000)]
    assert not any(p.single or p.bare or p.box or p.scribble or p.level for p in plans)
    share = np.bincount([p.rounds for p in plans]) / len(plans)
    np.testing.assert_allclose(share, [0.25] * 4, atol=0.04)


def test_grain_plans_follow_the_shares():
    settings, rng = ClickSimulation.grain(), np.random.default_rng(1)
    plans = [settings.plan(rng) for _ in range(4000)]
    extra = [p for p in plans if p.box or p.scribble]
    means = [np.mean([getattr(p, n) for p in plans]) for n in ("single", "box", "scribble", "level")]
    np.testing.assert_allclose(means, [0.85, 0.1, 0.1, 0.3], atol=0.03)
    assert np.mean([p.bare for p in extra]) == pytest.approx(0.5, abs=0.06)
    assert not any(p.bare for p in plans if not (p.box or p.scribble))


def test_recursive_plans_begin_single_and_use_their_own_rounds():
    settings = replace(ClickSimulation(), share_recursive=1.0, recursive=(4, 6))
    rng = np.random.default_rng(2)
    plans = [settings.plan(rng) for _ in range(200)]
    assert all(p.single for p in plans)
    assert {p.rounds for p in plans} == {4, 5, 6}


def test_every_setting_is_a_documented_flag(capsys):
    args = ["--share-sibling", "0.2", "--corrective", "1", "2"]
    parsed = tyro.cli(ClickSimulation, args=args)
    assert parsed == ClickSimulation(share_sibling=0.2, corrective=(1, 2))
    with pytest.raises(SystemExit):
        tyro.cli(ClickSimulation, args=["--help"])
    assert "sibling region" in capsys.readouterr().out


def test_module_loads_neither_torch_nor_opencv():
    code = (
        "import sys, clickgrain.clicks.config; print(*{'torch', 'cv2', 'numba', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_keeps_names_in_channel_order():
    spec = MapSpec(("posterior", "disk+"), stride=2, radius=3.5)
    assert (spec.names, spec.stride, spec.radius) == (("posterior", "disk+"), 2, 3.5)


def test_every_name_is_accepted_and_unique():
    assert MapSpec(MAP_NAMES).names == MAP_NAMES
    assert len(set(MAP_NAMES)) == len(MAP_NAMES)
    assert set(LEAF_MAPS) < set(MAP_NAMES)


@pytest.mark.parametrize("names", [("disk",), ("disk+", "distance+"), ("disk+", "disk+")])
def test_refuses_unknown_and_repeated_names(names):
    with pytest.raises(ConfigError, match="unknown or repeated"):
        MapSpec(names)


@pytest.mark.parametrize("wrong", [{"stride": 0}, {"stride": -2}, {"radius": 0.0}, {"radius": -1.0}])
def test_refuses_sizes_that_are_not_positive(wrong):
    with pytest.raises(ConfigError, match="must be positive"):
        MapSpec(("disk+",), **wrong)


@pytest.mark.parametrize("name", MAP_NAMES)
def test_leaf_maps_and_what_they_seed_need_a_tree(name):
    assert MapSpec(("disk+" if name != "disk+" else "box", name)).uses_tree == (
        name in (*LEAF_MAPS, *CENTRE_MAPS, "posterior", "alike")
    )
