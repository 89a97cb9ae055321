"""`finetune`: nested shares of labelled images, exact targets, resume, refusals, and something is learned."""

import json
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch

from clickgrain import devices
from clickgrain.cli import main
from clickgrain.clicks.config import ClickSimulation
from clickgrain.errors import ConfigError, DataError, TrainingError, WeightsError
from clickgrain.evaluation import Benchmark, evaluate, load_benchmark
from clickgrain.models.config import PaperConfig
from clickgrain.models.paper import PaperModel
from clickgrain.progress import Quiet
from clickgrain.segmenter import Segmenter
from clickgrain.training import config as recipes
from clickgrain.training.config import FinetuneArgs, Recipe, named_set
from clickgrain.training.finetune import choose_labelled, finetune, load_labelled
from clickgrain.training.run_dir import locked
from clickgrain.training.samples import make_batch
from clickgrain.weights import save_model


class Bars(Quiet):
    """Keeps what it is told; may stop the run at a given step of training."""

    def __init__(self, stop=None):
        self.stages, self.notes, self.stop = [], [], stop

    def start(self, what, total, done=0):
        self.stages.append((what, total, done))
        self.done = 0

    def advance(self, text=""):
        self.done += 1
        if self.stages[-1][0] == "training" and self.done == self.stop:
            raise KeyboardInterrupt

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(autouse=True)
def tiny(monkeypatch, settings, tiny_config, one_thread, few_robot_clicks):
    """`grain-small` at a size that tests can wait for."""
    args = settings(steps=12, clicks=ClickSimulation(corrective=(0, 1)))
    monkeypatch.setitem(recipes.RECIPES, "grain-small", lambda: Recipe(tiny_config, args))


def draw_red(seed, height=64, width=80):
    """A red disk beside a blue one on grey, and the mask of the red one."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.full((height, width, 3), 128.0) + rng.normal(0, 4, (height, width, 1))
    red = np.hypot(x - rng.uniform(15, 30), y - rng.uniform(20, 44)) < 12
    blue = np.hypot(x - rng.uniform(50, 65), y - rng.uniform(20, 44)) < 12
    image[red], image[blue] = (200, 40, 40), (40, 40, 200)
    return np.clip(image, 0, 255).astype(np.uint8), red, blue


def draw_bar(seed, height=64, width=80):
    """A bar, half of it red and half blue, on grey, and its mask."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 128.0) + rng.normal(0, 4, (height, width, 1))
    top, left = int(rng.integers(8, 38)), int(rng.integers(4, 22))
    mask = np.zeros((height, width), bool)
    mask[top : top + 18, left : left + 54] = True
    image[mask] = (200, 40, 40)
    image[top : top + 18, left + 24 : left + 54] = (40, 40, 200)
    return np.clip(image, 0, 255).astype(np.uint8), mask


def write_set(root, pairs):
    """Images with one mask each, in the generic layout."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for i, (image, mask) in enumerate(pairs):
        cv2.imwrite(str(root / "images" / f"i{i}.png"), image[..., ::-1])
        cv2.imwrite(str(root / "masks" / f"i{i}#0.png"), mask.astype(np.uint8) * 255)
    return root


@pytest.fixture
def labelled(tmp_path):
    """Six images in the generic layout, two masks each; a strip of the first mask of the first is not to count."""
    root = tmp_path / "labelled"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for seed in range(6):
        image, red, blue = draw_red(seed)
        cv2.imwrite(str(root / "images" / f"i{seed}.png"), image[..., ::-1])
        for k, mask in enumerate((red, blue)):
            values = mask.astype(np.uint8) * 255
            if seed == 0 and k == 0:
                values[:4] = 128
            cv2.imwrite(str(root / "masks" / f"i{seed}#{k}.png"), values)
    return root


@pytest.fixture
def args(labelled, tmp_path):
    def make(**changes):
        given = {"photos": str(labelled), "out": tmp_path / "tuned", "device": "cpu", "from_scratch": True}
        return FinetuneArgs(**(given | {"steps": 3} | changes))

    return make


def model_of(folder):
    return (folder / "model.safetensors").read_bytes()


def images_of(groups):
    return {group[0].image_id for group in groups}


def many(images=40):
    """A benchmark of images that are never read."""
    target = Benchmark.of([(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), bool))]).targets[0]
    return Benchmark(
        "many", [replace(target, id=f"{i}#{k}", image_id=f"{i}") for i in range(images) for k in (0, 1)]
    )


class TestShares:
    def test_they_are_nested_and_never_hold_the_held_out_images(self):
        subsets = [choose_labelled(many(), share, held_out=0.1, seed=3) for share in (0.01, 0.05, 0.1, 0.5, 1.0)]
        chosen = [images_of(subset.train) for subset in subsets]
        assert [len(images) for images in chosen] == [1, 2, 4, 18, 36]
        assert all(small < large for small, large in pairwise(chosen))
        assert len({frozenset(images_of(subset.held_out)) for subset in subsets}) == 1
        assert not chosen[-1] & images_of(subsets[0].held_out)
        assert chosen[-1] | images_of(subsets[0].held_out) == {f"{i}" for i in range(40)}

    def test_whole_images_with_all_their_masks(self):
        subset = choose_labelled(many(), 0.3, held_out=0.1, seed=0)
        assert all(
            [target.id for target in group] == [f"{group[0].image_id}#{k}" for k in (0, 1)]
            for group in subset.train
        )

    def test_another_seed_chooses_others(self):
        one, other = (images_of(choose_labelled(many(), 0.2, held_out=0.1, seed=s).train) for s in (0, 1))
        assert one != other

    def test_one_image_is_not_enough(self):
        with pytest.raises(DataError, match="masks of 1 image; fine-tuning needs 2"):
            choose_labelled(many(1), 1.0, held_out=0.05, seed=0)


class TestTargets:
    @pytest.fixture
    def image_set(self, labelled, extractor):
        groups = list(load_benchmark("labelled", labelled).by_image())
        return load_labelled(groups, 96, extractor, Quiet(), threads=2)[0]

    def test_the_bank_holds_images_masks_and_trees(self, image_set):
        assert (image_set.names[0], image_set.size(0), len(image_set), image_set.photos) == (
            "i0",
            (64, 80),
            6,
            6,
        )
        image, red, blue = draw_red(1)
        np.testing.assert_array_equal(image_set.image(1), image)
        drawn = image_set.source(1).draw(np.random.default_rng(0), 5, None)
        assert sorted(int(region.mask.sum()) for region in drawn) == sorted((int(red.sum()), int(blue.sum())))
        assert image_set.source(1).exact
        assert image_set.tree(1).image_size == (64, 80)

    def test_large_images_are_shrunk_with_their_masks(self, labelled, extractor):
        groups = list(load_benchmark("labelled", labelled).by_image())
        small, _ = load_labelled(groups, 40, extractor, Quiet(), threads=1)
        assert small.size(1) == (32, 40)
        masks = small.source(1).masks
        assert [mask.shape for mask in masks] == [(32, 40)] * 2
        assert masks[0].sum() == pytest.approx(draw_red(1)[1].sum() / 4, rel=0.02)

    def test_masks_are_not_drawn_to_edges_and_agree_with_the_crops(self, image_set, settings):
        args = settings({"color": 0.0})
        batch = make_batch(image_set, range(6), args.data, args.clicks, seed=0, step=0, count=6)
        crops = image_set.crops(batch.images, batch.matrices, args.data.crop)
        object_ = crops[batch.index].permute(0, 2, 3, 1)[batch.masks[:, 0] > 0.99]
        assert ((object_[:, 0] > 150) != (object_[:, 2] > 150)).float().mean() > 0.97  # red or blue, never grey

    def test_ignored_pixels_count_nowhere(self, image_set, settings):
        args = settings({"color": 0.0, "window": (1.0, 1.05), "rotate": 0.0})
        batch = make_batch(image_set, [0], args.data, args.clicks, seed=0, step=0, count=2)
        for crop, to_image in enumerate(batch.matrices.numpy()):
            y, x = np.mgrid[:64, :64]
            row = to_image[1, 0] * x + to_image[1, 1] * y + to_image[1, 2]
            strip = (row > 0) & (row < 3)
            assert strip.any()
            assert not batch.valid[crop, 0].numpy()[strip].any()


class TestRuns:
    def test_a_drawn_set_is_learned(self, args, tmp_path):
        """Bars of two colours are wanted whole, which no rule on one click's colour or region can know."""
        root = write_set(tmp_path / "bars", [draw_bar(seed) for seed in range(6)])
        before = finetune(args(photos=str(root), steps=1, lr=1e-6, out=tmp_path / "before"), Bars()).folder
        after = finetune(args(photos=str(root), steps=24, batch=4, lr=1e-2), Bars()).folder
        fresh = Benchmark.of([draw_bar(seed) for seed in range(10, 14)])
        ious = [evaluate(Segmenter.load(f), fresh, max_clicks=1).iou_at(1) for f in (before, after)]
        assert ious[0] < 0.6
        assert ious[1] > ious[0] + 0.1

    def test_a_stopped_run_goes_on_to_the_same_model(self, args, tmp_path):
        whole = finetune(args(out=tmp_path / "whole"), Bars())
        assert set(whole.fit.metrics) == {"labelled NoC85", "labelled mIoU@1"}
        with pytest.raises(KeyboardInterrupt):
            finetune(args(), Bars(stop=2))
        bars = Bars()
        result = finetune(args(), bars)
        assert bars.stages[-1] == ("training", 3, 2)
        assert (result.fit.steps, result.photos) == (3, 4)  # two of six are held out
        assert model_of(result.folder) == model_of(whole.folder)

    def test_a_finished_run_returns_at_once(self, args):
        first, bars = finetune(args(), Bars()), Bars()
        again = finetune(args(), bars)
        assert bars.stages == []
        assert (again.photos, again.fit.steps, again.fit.metrics) == (4, 3, first.fit.metrics)

    def test_it_starts_from_trained_weights(self, args, tmp_path):
        first = finetune(args(out=tmp_path / "first"), Bars()).folder
        tuned = args(from_scratch=False, start=str(first), lr=1e-9)
        result = finetune(tuned, Bars())
        one, other = (Segmenter.load(folder).engine.network.model.state_dict() for folder in (first, result.folder))
        assert all(torch.allclose(one[name], other[name], atol=1e-3) for name in one)
        finetune(args(out=tmp_path / "second", seed=5), Bars())
        with pytest.raises(TrainingError, match=r"other settings \(start\)"):
            finetune(replace(tuned, start=str(tmp_path / "second")), Bars())

    def test_a_paper_model_takes_its_own_recipe(self, args, tmp_path, settings, monkeypatch):
        config = PaperConfig("ti", image_size=64, dim=24, depth=2, heads=2, head_channels=8)
        monkeypatch.setitem(recipes.RECIPES, "paper", lambda: Recipe(config, settings(steps=8)))
        save_model(tmp_path / "paper", config=config.to_json(), tensors=PaperModel(config).state_dict())
        result = finetune(args(from_scratch=False, start=str(tmp_path / "paper"), steps=None), Bars())
        assert result.fit.steps == 2
        assert json.loads((result.folder / "config.json").read_text())["kind"] == "paper"

    def test_the_recipe_gives_what_is_not_said(self, args):
        result = finetune(args(steps=None), Bars())
        assert result.fit.steps == 3  # a quarter of 12
        rates = [json.loads(line)["lr"] for line in (result.folder / "metrics.jsonl").read_text().splitlines()[:1]]
        assert rates == [pytest.approx(5e-3)]


class TestRefusals:
    def test_bad_images_and_masks_are_named_and_stop_nothing(self, args, labelled):
        (labelled / "images" / "i1.png").write_bytes(b"broken")
        (labelled / "masks" / "i2#1.png").write_bytes(b"broken")
        result = finetune(args(), Bars())
        assert result.fit.steps == 3
        said = " ".join(result.failed)
        assert ("i1.png" in said) + ("i2#1.png" in said) >= 1  # one of the two may be held out

    def test_nothing_usable(self, args, labelled):
        for path in (labelled / "images").iterdir():
            path.write_bytes(b"broken")
        with pytest.raises(DataError, match=r"none of the labelled images can be used:\n- .*i\d\.png"):
            finetune(args(), Bars())

    def test_a_folder_without_masks(self, args, photos):
        with pytest.raises(DataError, match="images/"):
            finetune(args(photos=str(photos)), Bars())

    def test_other_settings_and_other_labels(self, args, labelled):
        finetune(args(), Bars())
        with pytest.raises(TrainingError, match=r"other settings \(labels\)"):
            finetune(args(labels=0.5), Bars())
        image, red, _ = draw_red(9)
        cv2.imwrite(str(labelled / "images" / "i9.png"), image)
        cv2.imwrite(str(labelled / "masks" / "i9#0.png"), red.astype(np.uint8) * 255)
        with pytest.raises(TrainingError, match="on other labels"):
            finetune(args(), Bars())

    def test_no_model_to_start_from(self, args, tmp_path, monkeypatch):
        with pytest.raises(WeightsError, match="nowhere"):
            finetune(args(from_scratch=False, start=str(tmp_path / "nowhere")), Bars())

        def none(name):
            raise WeightsError("no weights ship")

        monkeypatch.setattr("clickgrain.training.finetune.load_click_model", none)
        with pytest.raises(WeightsError, match=r"--from, or give --from-scratch"):
            finetune(args(from_scratch=False), Bars())

    @pytest.mark.parametrize(
        ("flag", "changes"),
        [
            ("--labels 0 ", {"labels": 0.0}),
            ("--labels 5 ", {"labels": 5.0}),
            ("--labels nan", {"labels": float("nan")}),
            ("--from and --from-scratch", {"start": "default"}),
            ("--seed -1", {"seed": -1}),
            ("--steps 0", {"steps": 0}),
            ("--batch 0", {"batch": 0}),
        ],
    )
    def test_settings_that_make_no_sense(self, args, flag, changes):
        with pytest.raises(ConfigError, match=flag):
            args(**changes)


def test_the_command(labelled, tmp_path, capsys):
    (labelled / "masks" / "i3#0.png").write_bytes(b"broken")
    line = ["finetune", labelled, "--out", tmp_path / "m", "--labels", 1.0, "--from-scratch", "--steps", 2]
    assert main([str(word) for word in [*line, "--recipe", "grain-small", "--extractor", "color-texture"]]) == 0
    shown = capsys.readouterr()
    assert shown.out.strip() == str(tmp_path / "m")
    assert "2 steps on 4 labelled images; labelled NoC85" in shown.err


def test_sets_by_name_or_folder(tmp_path):
    assert named_set("sbd-train=SBD") == ("sbd-train", named_set("SBD")[1])
    (tmp_path / "a=b").mkdir()
    assert named_set(str(tmp_path / "a=b")) == ("labelled", tmp_path / "a=b")


def test_a_second_one_in_the_folder_is_refused(args):
    bars = Bars()
    with locked(args().out), pytest.raises(TrainingError, match="another clickgrain is training in"):
        finetune(args(), bars)
    assert bars.stages == []


def test_it_keeps_its_precision(args, monkeypatch, settings, tiny_config):
    own = settings(steps=12, precision="auto")
    monkeypatch.setitem(recipes.RECIPES, "grain-small", lambda: Recipe(tiny_config, own))
    monkeypatch.setattr(devices, "WIDE", 0)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    with pytest.raises(KeyboardInterrupt):
        finetune(args(), Bars(stop=1))
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    bars = Bars()
    assert finetune(args(), bars).fit.steps == 3
    assert json.loads((args().out / "run.json").read_text())["precision"] == "bf16"
    assert any("does not compute bf16 in hardware" in note for note in bars.notes)
    with pytest.raises(TrainingError, match=r"other settings \(precision\)"):
        finetune(args(precision="float32"), Bars())
