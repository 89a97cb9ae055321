"""`check_range`: one check of numbers for all settings, whose message names the flag."""

from types import SimpleNamespace

import pytest

from clickgrain.errors import ConfigError, check_range

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("value", [None, 0, 0.5, 1])
def test_a_share_may_be_either_end_and_may_be_left_out(value):
    check_range(SimpleNamespace(held_out=value), "held_out", 0, 1)


@pytest.mark.parametrize("value", [-0.1, 1.1, NAN, INF, -INF])
def test_other_values_name_their_flag(value):
    with pytest.raises(ConfigError, match=rf"^--data\.held-out {value} is outside 0\.\.1$"):
        check_range(SimpleNamespace(held_out=value), "held_out", 0, 1, prefix="--data.")


def test_an_open_end_excludes_it():
    check_range(SimpleNamespace(lr=1e-9), "lr", 0, above=True)
    for value in (0, -1.0, NAN, INF):
        with pytest.raises(ConfigError, match=f"^--lr {value} must be a number above 0$"):
            check_range(SimpleNamespace(lr=value), "lr", 0, above=True)


def test_the_first_wrong_one_of_several_is_named():
    with pytest.raises(ConfigError, match=r"^--batch 0 must be 1 or more$"):
        check_range(SimpleNamespace(steps=3, batch=0, crop=-1), "steps batch crop", 1)
