"""Whatever a config.json holds, loading its model gives the model or a message that names the key, at once."""

import json

import pytest
import torch

from clickgrain.errors import WeightsError
from clickgrain.features import load_extractor
from clickgrain.features.config import EncoderConfig
from clickgrain.models.config import GrainConfig, PaperConfig
from clickgrain.models.registry import build_model, load_click_model
from clickgrain.segmenter import Segmenter
from clickgrain.weights import save_model

GRAIN = GrainConfig(EncoderConfig((4, 4, 6, 8, 8), (1, 1, 1, 1, 1)), (4, 4, 6, 8), long_side=64)
PAPER = PaperConfig("ti", image_size=64, dim=24, depth=2, heads=2, head_channels=8)
ODD = {
    "null": "null",
    "true": "true",
    "text": '"7"',
    "object": '{"a": 1}',
    "list": "[[]]",
    "texts": '["a", "b", "c", "d"]',
    "negative": "-3",
    "zero": "0",
    "half": "0.5",
    "long": "1" + "0" * 300,
    "long list": "[" + "8, " * 100_000 + "8]",
    "wide list": "[4, 4, 6, 8, 1180591620717411303424]",
    "broad": "[50000, 50000, 50000, 50000, 50000]",
    "large": "60000",
    "infinite": "1e999",
    "not a number": "NaN",
}
SLOW = pytest.mark.timeout(20)


@pytest.fixture
def folders(tmp_path):
    """Both kinds of models, and their configs as text with one value replaced."""
    for config in (GRAIN, PAPER):
        folder = tmp_path / config.kind
        save_model(folder, config=config.to_json(), tensors=build_model(config.to_json()).state_dict())

    def spoil(kind, path, text):
        file = tmp_path / kind / "config.json"
        values = json.loads(file.read_text())
        place = values
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = "@"
        file.write_text(json.dumps(values).replace('"@"', text))
        return tmp_path / kind

    return spoil


PLACES = [
    *(("grain", (key,)) for key in GRAIN.to_json() if key not in ("kind", "tree")),
    *(("grain", ("encoder", key)) for key in ("widths", "depths")),
    *(("paper", (key,)) for key in PAPER.to_json() if key != "kind"),
]


@SLOW
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(("kind", "path"), PLACES, ids=[f"{kind}-{'.'.join(path)}" for kind, path in PLACES])
def test_odd_values_load_or_are_named(folders, kind, path, odd):
    folder = folders(kind, path, ODD[odd])
    try:
        model = load_click_model(folder)
    except WeightsError as error:
        message = str(error)
        assert str(folder) in message
        named = [path[-1], path[-1].replace("_", "-"), "click maps" if path == ("maps",) else path[-1]]
        shapes = "do not fit" in message or "multiple of" in message  # other keys follow from it
        assert shapes or any(name in message for name in named), message
        assert len(message) < 2000
    else:
        assert model.config == type(model.config).from_json(json.loads((folder / "config.json").read_text()))


@SLOW
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("path", [("long_side",), ("encoder",), ("encoder", "widths"), ("encoder", "depths")])
def test_the_extractor_of_an_odd_config_loads_or_says_why(folders, path, odd):
    folder = folders("grain", path, ODD[odd])
    with pytest.raises(WeightsError, match="holds no grain encoder that fits") as caught:
        load_extractor(folder)
    assert path[-1] in str(caught.value) or "do not fit" in str(caught.value)


@SLOW
@pytest.mark.parametrize(
    "tree",
    ['""', '"."', '"no/such"', '"~no-such-user/x"', '"' + "x" * 5000 + '"', '"a\\u0000b"', '"\\ud800"', "7", "[]"],
)
def test_odd_names_of_extractors_are_messages(folders, tree, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the variable is read once, at import
    from clickgrain.errors import ClickgrainError

    with pytest.raises(ClickgrainError):
        Segmenter.load(folders("grain", ("tree",), tree))


@SLOW
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b"[" * 200_000, "not valid JSON"),
        (b'{"a":' * 100_000, "not valid JSON"),
        (b'{"format": 1' + b"0" * 5000 + b"}", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[]", "clickgrain did not write it"),
        (b'{"format": [], "kind": "grain"}', "clickgrain did not write it"),
        (b'{"format": 1e999, "kind": "grain"}', "clickgrain did not write it"),
        (b'{"format": 1, "kind": {}}', "clickgrain did not write it"),
        (b'{"format": 1, "kind": "\\ud800"}', "this version knows 'grain' and 'paper'"),
        (
            b'{"format": 1, "kind": "grain", ' + b", ".join(b'"k%d": 1' % i for i in range(5000)) + b"}",
            "is unknown",
        ),
    ],
)
def test_odd_files_are_messages(folders, tmp_path, content, message):
    (tmp_path / "grain" / "config.json").write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        load_click_model(tmp_path / "grain")
    str(caught.value).encode()
    assert len(str(caught.value)) < 2000


@SLOW
def test_a_network_that_its_weights_do_not_explain_takes_no_memory(folders, monkeypatch):
    folder = folders("grain", ("encoder", "widths"), "[4096, 4096, 4096, 4096, 4096]")
    devices = []
    real = torch.nn.Conv2d.__init__

    def watched(self, *args, **options):
        real(self, *args, **options)
        devices.append(self.weight.device.type)

    monkeypatch.setattr(torch.nn.Conv2d, "__init__", watched)
    with pytest.raises(WeightsError, match="do not fit GrainModel"):
        load_click_model(folder)
    assert set(devices) == {"meta"}


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64, torch.bool])
def test_weights_that_are_no_real_numbers_are_refused(tmp_path, dtype):
    tensors = build_model(GRAIN.to_json()).state_dict()
    name = next(iter(tensors))
    save_model(tmp_path, config=GRAIN.to_json(), tensors={**tensors, name: tensors[name].to(dtype)})
    with pytest.raises(WeightsError, match=rf"1 of another type: {name} torch\."):
        load_click_model(tmp_path)
