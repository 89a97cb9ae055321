"""A model without torch: export, ONNX Runtime's network, `clickgrain.onnx.Predictor`, `segment --runtime onnx`."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from clickgrain import cli
from clickgrain.clicks.config import FIRST
from clickgrain.errors import ConfigError, WeightsError
from clickgrain.models.config import PaperConfig
from clickgrain.models.grain import TorchGrain
from clickgrain.models.onnx_export import export_onnx
from clickgrain.models.onnx_runtime import OnnxGrain, OnnxPaper, onnx_folder
from clickgrain.models.paper import PaperModel, TorchPaper
from clickgrain.models.registry import load_click_model
from clickgrain.onnx import Predictor
from clickgrain.segmenter import Segmenter
from clickgrain.weights import save_model
from tests.unit.models.test_grain_engine import TINY, photo, random_model
from tests.unit.test_packaging import PROJECT, declared

pytestmark = pytest.mark.usefixtures("traced_once")
ROOT = Path(__file__).parents[3]
NAMES = ("image_embeddings", "high_res_feats_0", "high_res_feats_1", "high_res_feats_2")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, traced_once):
    """(folder with the weights, folder with the ONNX files)."""
    folder = tmp_path_factory.mktemp("tiny")
    model = random_model()
    save_model(folder / "model", config=model.config.to_json(), tensors=model.state_dict())
    export_onnx(model, folder / "onnx")
    return folder / "model", folder / "onnx"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory, traced_once):
    folder = tmp_path_factory.mktemp("shipped")
    export_onnx(load_click_model("default"), folder)
    return folder


@pytest.fixture(scope="module")
def two_decoders(tmp_path_factory, traced_once):
    """A model with a second decoder for first clicks, as weights and as ONNX files."""
    folder = tmp_path_factory.mktemp("two")
    config = replace(TINY, maps=("previous", "disk+", "disk-"), first_maps=("previous", "disk+", "level+", "disk-"))
    model = random_model(config)
    save_model(folder / "model", config=model.config.to_json(), tensors=model.state_dict())
    export_onnx(model, folder / "onnx")
    return folder / "model", folder / "onnx"


def logits_of(network, size, prompts=1, first=False):
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 255, (1, 3, *size)).astype(np.float32)
    names = network.config.map_spec.names
    maps = rng.random((prompts, len(names), size[0] // 2, size[1] // 2), np.float32)
    if FIRST in names:
        maps[:, names.index(FIRST)] = first
    return network.decode(network.encode(pixels), maps)


@pytest.mark.parametrize(("size", "prompts"), [((32, 32), 1), ((64, 96), 3), ((224, 320), 1), ((512, 64), 2)])
@pytest.mark.parametrize("which", ["tiny", "shipped"])
def test_logits_equal_torchs_at_every_size(tiny, shipped, which, size, prompts):
    folder = tiny[1] if which == "tiny" else shipped
    model = load_click_model(tiny[0] if which == "tiny" else "default")
    found, wanted = (logits_of(network, size, prompts) for network in (OnnxGrain(folder), TorchGrain(model)))
    assert found[0].std() > 0.1
    for one, other in zip(found, wanted):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("first", [True, False])
def test_two_decoders_take_turns_as_torchs_do(two_decoders, first):
    networks = OnnxGrain(two_decoders[1]), TorchGrain(load_click_model(two_decoders[0]))
    found, wanted = (logits_of(network, (64, 96), 3, first) for network in networks)
    for one, other in zip(found, wanted):
        np.testing.assert_allclose(one, other, atol=1e-3)
    twin = OnnxGrain(two_decoders[1])
    twin.first, twin.decoder = twin.decoder, twin.first
    twin.config = replace(twin.config, maps=twin.config.first_maps, first_maps=twin.config.maps)
    assert abs(logits_of(twin, (64, 96), 3, first)[0] - found[0]).max() > 0.1  # they differ


def test_a_missing_second_decoder_is_named(two_decoders, tmp_path):
    copytree(two_decoders[1], tmp_path / "onnx")
    (tmp_path / "onnx" / "first_decoder.onnx").unlink()
    with pytest.raises(WeightsError, match=r"first_decoder.onnx"):
        OnnxGrain(tmp_path / "onnx")


def test_int8_has_both_decoders(two_decoders, tmp_path):
    export_onnx(load_click_model(two_decoders[0]), tmp_path, precision="int8")
    for first in (True, False):
        found, wanted = (logits_of(OnnxGrain(f), (64, 96), 1, first)[0] for f in (tmp_path, two_decoders[1]))
        assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.95


def test_names_are_sams_and_sizes_are_free(shipped):
    encoder, decoder = (onnx.load(shipped / f"{name}.onnx").graph for name in ("encoder", "decoder"))
    assert [value.name for value in encoder.input] == ["image"]
    assert {value.name for value in encoder.output} == set(NAMES)
    assert {value.name for value in decoder.input} == {*NAMES, "click_maps"}
    assert [value.name for value in decoder.output] == ["low_res_masks", "iou_predictions"]
    shape = encoder.input[0].type.tensor_type.shape.dim
    assert [bool(side.dim_param) for side in shape] == [False, False, True, True]


def test_files_do_not_tell_where_they_were_made(tiny):
    """torch's exporter notes the source line of every node, with the path of the file."""
    for name in ("encoder.onnx", "decoder.onnx"):
        content = (tiny[1] / name).read_bytes()
        assert b".py" not in content
        assert b"site-packages" not in content


def test_clients_of_sams_decoder_cannot_feed_ours(shipped):
    """docs/labelme.md says so; once it fits, that page needs a yaml instead."""
    theirs = {"image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input", "orig_im_size"}
    decoder = onnx.load(shipped / "decoder.onnx").graph
    assert {value.name for value in decoder.input} & theirs == {"image_embeddings"}


def test_a_session_is_the_same_with_both_runtimes(shipped):
    one, other = Predictor(shipped), Segmenter.load("default")
    image, before = photo(size=(240, 320)), [None, None]
    points, labels = np.array([[60, 60], [200, 100], [70, 90], [50, 50], [65, 80], [60, 70]]), [1, 0, 1, 1, 1, 1]
    for seg in (one, other):
        seg.set_image(image)
    for k in range(1, 7):  # with a close look from the fifth click on
        before = [seg.predict(points[:k], labels[:k], previous=p) for seg, p in zip((one, other), before)]
        assert (before[0].binary != before[1].binary).mean() < 1e-3
        assert before[0].score == pytest.approx(before[1].score, abs=1e-3)
        assert before[0].roi == before[1].roi
    assert [m.level for m in before[0].alternatives] == [m.level for m in before[1].alternatives]


def test_the_packages_that_the_docs_name_are_enough(shipped, tmp_path):
    """From reading a photo to the mask, its alternatives and a close look, all others being out of reach."""
    line = re.search(r"^pip install (numpy .*)$", (ROOT / "docs" / "onnx.md").read_text(), re.M)[1]
    enough = declared(line.split()) | {"llvmlite"}  # which numba brings
    others = (declared(PROJECT["dependencies"]) | {"transformers", "onnx"}) - enough
    assert "torch" in others
    Image.fromarray(photo(size=(120, 160))).save(tmp_path / "photo.png")
    code = f"""
import sys
sys.modules.update(dict.fromkeys({others!r}))
import clickgrain as cg
from clickgrain.onnx import Predictor
seg = Predictor({str(shipped)!r})
seg.set_image(cg.read_image({str(tmp_path / "photo.png")!r}))
mask = seg.predict([[30, 30], [80, 20]], [1, 0], box=[5, 5, 90, 90])
for k in range(1, 7):
    mask = seg.predict([[30 + i, 30] for i in range(k)], [1] * k, previous=mask)
assert mask.binary.shape == (120, 160) and len(mask.alternatives) == 3
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_segment_answers_without_torch(tiny, tmp_path):
    Image.fromarray(photo()).save(tmp_path / "photo.png")
    words = ["segment", str(tmp_path / "photo.png"), "--click", "20,30", "--model", str(tiny[1])]
    code = (
        f"import sys; from clickgrain.cli import main; print(main({[*words, '--out', str(tmp_path / 'a.png')]!r}))"
    )
    code += "; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-2:] == ["0", "False"], done.stderr
    torchs = [*words[:-1], str(tiny[0]), "--out", str(tmp_path / "b.png")]
    assert cli.main(torchs) == 0
    one, other = (np.asarray(Image.open(tmp_path / name)) for name in ("a.png", "b.png"))
    assert (one != other).mean() < 1e-3


def test_weights_are_exported_once_into_the_cache(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("CLICKGRAIN_CACHE", str(tmp_path))
    folder = onnx_folder(tiny[0])
    assert folder.is_relative_to(tmp_path)
    written = (folder / "decoder.onnx").stat().st_mtime_ns
    assert onnx_folder(tiny[0]) == folder
    assert (folder / "decoder.onnx").stat().st_mtime_ns == written
    assert Segmenter.load(tiny[0], runtime="onnx").name == str(tiny[0])
    assert onnx_folder(tiny[1]) == tiny[1]  # exported already


@pytest.mark.usefixtures("traced_once")
def test_a_damaged_export_in_the_cache_is_made_again(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("CLICKGRAIN_CACHE", str(tmp_path))
    folder = onnx_folder(tiny[0])
    for name in ("config.json", "encoder.onnx", "decoder.onnx"):
        good = (folder / name).read_bytes()
        (folder / name).write_bytes(good[: len(good) // 2])
        Segmenter.load(tiny[0], runtime="onnx").set_image(np.zeros((24, 32, 3), np.uint8))
        assert (folder / name).stat().st_size == len(good)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_other_precisions_are_smaller_and_nearly_the_same(shipped, tmp_path, precision):
    export_onnx(load_click_model("default"), tmp_path, precision=precision)
    size = {folder: sum(file.stat().st_size for file in folder.glob("*.onnx")) for folder in (shipped, tmp_path)}
    assert size[tmp_path] < 0.65 * size[shipped]
    assert json.loads((tmp_path / "config.json").read_text())["precision"] == precision
    seg, wanted = Predictor(tmp_path), Predictor(shipped)
    image = np.asarray(Image.open(bundled_photo()).convert("RGB"))[:256, :384]
    found = []
    for each in (seg, wanted):
        each.set_image(image)
        found.append(each.predict([[190, 128]], [1]).binary)
    assert (found[0] & found[1]).sum() / (found[0] | found[1]).sum() > 0.8


def bundled_photo():
    from importlib.resources import files

    return files("skimage.data") / "chelsea.png"


@pytest.fixture(scope="module")
def paper(tmp_path_factory, traced_once):
    """(model, folder with its weights, folder with the ONNX files) of a small random `paper` model."""
    folder = tmp_path_factory.mktemp("paper")
    torch.manual_seed(3)
    # one block with windows and one without: each adds seconds to the export
    config = PaperConfig(
        image_size=64, patch_size=8, dim=24, depth=2, heads=2, head_channels=16, window_blocks=(1,)
    )
    model = PaperModel(config).eval()
    with torch.no_grad():
        model.backbone.positions.normal_()  # so that a resize that differs from torch's shows
        model.head.predict[-1].weight.mul_(20)
    save_model(folder / "model", config=model.config.to_json(), tensors=model.state_dict())
    export_onnx(model, folder / "onnx")
    return model, folder / "model", folder / "onnx"


class TestPaper:
    @pytest.mark.parametrize("side", [16, 64, 80, 176])
    @pytest.mark.parametrize("count", [1, 2])
    def test_logits_equal_torchs_at_every_size(self, paper, side, count):
        rng = np.random.default_rng(side)
        pixels = rng.uniform(0, 255, (count, 3, side, side)).astype(np.float32)
        maps = rng.random((count, 3, side, side), np.float32)
        torchs, ours = TorchPaper(paper[0]), OnnxPaper(paper[2])
        wanted, scores = torchs.decode(torchs.put(pixels), torchs.put(maps))
        found = ours.decode(pixels, maps)
        assert wanted.std() > 0.1
        np.testing.assert_allclose(found[0], wanted.numpy(), atol=1e-3)
        np.testing.assert_allclose(found[1], scores, atol=1e-3)

    @pytest.mark.parametrize("size", [(240, 320), (40, 500)])
    def test_a_session_is_the_same_with_both_runtimes(self, paper, size):
        segmenters = [Segmenter.load(folder, cut=False) for folder in paper[1:]]
        image, before = photo(size=size), [None, None]
        points, labels = [[60, 20], [200, 30], [70, 25], [50, 15]], [1, 0, 1, 1]
        for k in range(1, 5):  # zooms in where the mask is not the whole image
            before = [
                seg.predict(points[:k], labels[:k], previous=mask, encoded=seg.encode(image))
                for seg, mask in zip(segmenters, before)
            ]
            np.testing.assert_allclose(before[1].probability, before[0].probability, atol=1e-3)
            assert before[1].score == pytest.approx(before[0].score, abs=1e-3)
            assert before[1].roi == before[0].roi

    def test_its_names_say_that_only_pixels_can_be_kept(self, paper):
        encoder, decoder = (onnx.load(paper[2] / f"{name}.onnx").graph for name in ("encoder", "decoder"))
        assert [value.name for value in encoder.output] == ["image_embeddings"]
        assert [value.name for value in decoder.input] == ["image_embeddings", "click_maps"]
        assert [value.name for value in decoder.output] == ["low_res_masks", "iou_predictions"]

    def test_half_precision_is_half_the_size_and_nearly_the_same(self, paper, tmp_path):
        export_onnx(paper[0], tmp_path, precision="fp16")
        assert (tmp_path / "decoder.onnx").stat().st_size < 0.75 * (paper[2] / "decoder.onnx").stat().st_size
        image = photo(size=(120, 160))
        found = []
        for seg in (Predictor(paper[2]), Predictor(tmp_path)):
            seg.set_image(image)
            found.append(seg.predict([[60, 60]], [1]).probability)
        assert np.abs(found[0] - found[1]).mean() < 0.02

    def test_no_torch_is_imported(self, paper):
        code = f"""
import sys
import numpy as np
from clickgrain.onnx import Predictor
seg = Predictor({str(paper[2])!r})
seg.set_image(np.zeros((50, 60, 3), np.uint8))
mask = seg.predict([[20, 20]], [1])
mask = seg.predict([[20, 20], [30, 30]], [1, 0], previous=mask)
assert mask.binary.shape == (50, 60)
print("torch" in sys.modules)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == ("False\n", "")

    def test_the_command_line_writes_and_reads_it(self, paper, tmp_path, capsys):
        assert cli.main(["export-model", str(paper[1]), "--out", str(tmp_path / "out")]) == 0
        Image.fromarray(photo()).save(tmp_path / "photo.png")
        words = ["segment", str(tmp_path / "photo.png"), "--click", "20,30", "--out", str(tmp_path / "mask.png")]
        assert cli.main([*words, "--model", str(tmp_path / "out")]) == 0, capsys.readouterr().err
        assert cli.main([*words, "--model", str(paper[1]), "--runtime", "onnx"]) == 0
        with Image.open(tmp_path / "mask.png") as mask:
            assert mask.size == photo().shape[1::-1]


class TestErrors:
    def test_a_missing_runtime_names_the_extra(self, tiny, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(ConfigError, match=r"onnxruntime is not installed.*pip install 'clickgrain\[onnx\]'"):
            Segmenter.load(tiny[1])

    def test_a_missing_exporter_names_the_extra(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnxscript", None)
        with pytest.raises(ConfigError, match=r"onnxscript is not installed.*pip install 'clickgrain\[onnx\]'"):
            export_onnx(random_model(), tmp_path)

    def test_a_damaged_file_is_named(self, tiny, tmp_path):
        for name in ("config.json", "encoder.onnx"):
            (tmp_path / name).write_bytes((tiny[1] / name).read_bytes())
        with pytest.raises(WeightsError, match=r"decoder\.onnx.*export-model"):
            OnnxGrain(tmp_path)
        (tmp_path / "decoder.onnx").write_bytes((tiny[1] / "decoder.onnx").read_bytes()[:999])
        with pytest.raises(WeightsError, match=r"decoder\.onnx.*export-model"):
            OnnxGrain(tmp_path)

    def test_files_of_another_model_are_refused(self, tiny, tmp_path):
        for name in ("encoder.onnx", "decoder.onnx"):
            (tmp_path / name).write_bytes((tiny[1] / name).read_bytes())
        config = json.loads((tiny[1] / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**config, "maps": ["previous", "disk+", "disk-"]}))
        with pytest.raises(WeightsError, match=r"22 click maps, config\.json names 3"):
            OnnxGrain(tmp_path)

    def test_models_that_cannot_be_exported(self, tmp_path):
        with torch.device("meta"):
            paper = PaperModel(PaperConfig())
        with pytest.raises(ConfigError, match=r"int8 is of convolutions.*choose fp16"):
            export_onnx(paper, tmp_path, precision="int8")
        with pytest.raises(ConfigError, match="a Own cannot be exported"):
            export_onnx(type("Own", (PaperModel.__base__,), {"encode": None, "decode": None})(), tmp_path)
        with pytest.raises(ConfigError, match="trees of 'facebook/dino-vits8'"):
            export_onnx(random_model(replace(TINY, tree="facebook/dino-vits8")), tmp_path)
        assert not list(tmp_path.iterdir())

    def test_a_photo_that_cannot_be_read_is_left_out_of_the_calibration(self, tmp_path):
        photos = tmp_path / "photos"
        photos.mkdir()
        (photos / "bad.jpg").write_bytes(b"no image")
        with pytest.raises(ConfigError, match=r"bad\.jpg"):
            export_onnx(random_model(), tmp_path / "out", precision="int8", photos=photos)
        Image.fromarray(photo()).save(photos / "good.png")
        notes = []
        export_onnx(random_model(), tmp_path / "out", precision="int8", photos=photos, notes=notes)
        assert len(notes) == 1
        assert "bad.jpg" in notes[0]

    def test_the_command_line(self, tiny, tmp_path, capsys):
        assert cli.main(["export-model", str(tiny[0]), "--out", str(tmp_path / "out")]) == 0
        assert str(tmp_path / "out") in capsys.readouterr().out
        assert {p.name for p in (tmp_path / "out").iterdir()} == {"encoder.onnx", "decoder.onnx", "config.json"}
        assert cli.main(["export-model", str(tmp_path / "none"), "--out", str(tmp_path / "x")]) == 1
        Image.fromarray(photo()).save(tmp_path / "photo.png")
        words = ["segment", str(tmp_path / "photo.png"), "--click", "1,1", "--out", str(tmp_path / "m.png")]
        assert cli.main([*words, "--runtime", "onnx", "--device", "cuda"]) == 2
        assert "--runtime onnx" in capsys.readouterr().err
        assert cli.main([*words, "--runtime", "torch", "--model", str(tiny[1])]) == 1
        assert "--runtime onnx" in capsys.readouterr().err
