"""Which device, and in which precision: bfloat16 only where the hardware computes it."""

import subprocess
import sys

import pytest
import torch

from clickgrain.devices import WIDE, choose_device, computes_bf16, resolve_precision
from clickgrain.errors import ConfigError
from clickgrain.models.registry import build_model
from clickgrain.training.config import RECIPES

SMALL = [(name, RECIPES[name]) for name in ("grain-small", "grain")]


@pytest.fixture
def cpu(monkeypatch):
    """Pretend that this CPU has these features and no others."""

    def pretend(*features):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(features, True))

    return pretend


@pytest.fixture
def gpu(monkeypatch):
    """Pretend that there is a GPU that computes bfloat16, or emulates it as those before Ampere do."""

    def pretend(*, native):
        monkeypatch.setattr(torch.cuda, "device", lambda name: torch.no_grad())
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation
        )

    return pretend


@pytest.mark.parametrize(
    ("features", "wanted"),
    [
        (("sse4_2", "avx", "avx2"), "float32"),
        (("avx2", "avx512_f", "avx512_bw", "avx512_vl", "avx512_dq"), "float32"),
        (("avx2", "avx512_f", "avx512_bf16"), "float32"),
        (("avx2", "avx512_f", "avx512_bf16", "amx_tile", "amx_bf16"), "bf16"),
        (("neon", "bf16"), "float32"),
        ((), "float32"),
    ],
    ids=["laptop", "avx512 emulates it", "avx512_bf16 is slower", "amx", "arm", "unknown"],
)
def test_auto_on_a_cpu_is_what_it_does_well(cpu, features, wanted):
    cpu(*features)
    assert resolve_precision("auto", "cpu", WIDE) == wanted


def test_channels_that_do_not_fill_the_tiles_of_amx_stay_in_float32(cpu):
    cpu("amx_bf16")
    sizes = {
        name: sum(p.numel() for p in build_model(recipe().model.to_json()).parameters()) for name, recipe in SMALL
    }
    assert {name: resolve_precision("auto", "cpu", size) for name, size in sizes.items()} == {
        "grain-small": "float32",
        "grain": "bf16",
    }


@pytest.mark.parametrize(("tiles", "wanted"), [(True, "bf16"), (False, "float32")])
def test_a_torch_that_lists_no_features_still_knows_amx(monkeypatch, tiles, wanted):
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    assert resolve_precision("auto", "cpu", WIDE) == wanted
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert resolve_precision("auto", "cpu", WIDE) == "float32"


@pytest.mark.parametrize(("native", "wanted"), [(True, "bf16"), (False, "float32")])
def test_auto_on_a_gpu_takes_no_emulation(gpu, native, wanted):
    gpu(native=native)
    assert resolve_precision("auto", "cuda:1", 10) == wanted
    assert computes_bf16("cuda") is native


def test_auto_elsewhere_is_float32():
    assert resolve_precision("auto", "mps", WIDE) == "float32"


def test_what_is_asked_for_wins(cpu):
    cpu("avx2")
    assert [resolve_precision(name, "cpu", WIDE) for name in ("bf16", "float32")] == ["bf16", "float32"]


@pytest.mark.parametrize("name", ["", "fp16", "bf16-mixed", None])
def test_unknown_ones(name):
    with pytest.raises(ConfigError, match="--precision"):
        resolve_precision(name, "cpu", WIDE)


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cpu:3", "meta", ""])
def test_devices_that_are_not_there(name):
    with pytest.raises(ConfigError, match="--device"):
        choose_device(name)


def test_auto_is_a_device_that_is_there():
    assert torch.zeros(1, device=choose_device("auto")).item() == 0


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_a_device_that_is_there_keeps_its_name(device):
    assert choose_device(device) == device


@pytest.mark.parametrize("device", ["gpu", "", "cuda:x"])
def test_what_is_no_device(device):
    with pytest.raises(ConfigError, match="is no device; use auto, cpu"):
        choose_device(device)


def test_the_second_gpu_of_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("cuda") == "cuda"
    with pytest.raises(ConfigError, match="torch sees cpu, cuda, use one of them"):
        choose_device("cuda:1")


def test_the_cpu_is_known_without_torch():
    code = (
        "from clickgrain.devices import choose_device as c; c('cpu'); import sys; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
