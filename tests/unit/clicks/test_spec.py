import pytest

from clickgrain.clicks.config import CENTRE_MAPS, LEAF_MAPS, MAP_NAMES, MapSpec
from clickgrain.errors import ConfigError


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
def test_only_leaf_maps_and_the_posterior_need_a_tree(name):
    assert MapSpec(("disk+" if name != "disk+" else "box", name)).uses_tree == (
        name in (*LEAF_MAPS, *CENTRE_MAPS, "posterior")
    )
