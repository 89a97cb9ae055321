import pytest
import torch

from clickgrain.commands.predictors import check_device
from clickgrain.errors import ConfigError


@pytest.mark.parametrize("device", ["cpu", "cpu:0", "meta"])
def test_devices_that_are_there(device):
    assert check_device(device) == device


@pytest.mark.parametrize("device", ["gpu", "", "cuda:x"])
def test_what_is_no_device(device):
    with pytest.raises(ConfigError, match="not a torch device"):
        check_device(device)


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert check_device("cuda") == "cuda"
    with pytest.raises(ConfigError, match="torch finds 1 "):
        check_device("cuda:1")
