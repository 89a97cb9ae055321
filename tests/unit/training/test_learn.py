"""`learn`: a folder of drawn photos in, a model out; stopped, continued, refused."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE

import cv2
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard

from clickgrain import devices
from clickgrain.devices import choose_device
from clickgrain.errors import ClickgrainError, ConfigError, DataError, TrainingError, WeightsError
from clickgrain.models.grain import GrainModel
from clickgrain.progress import Quiet
from clickgrain.proposals.pipeline import propose
from clickgrain.proposals.store import ProposalStore
from clickgrain.segmenter import Segmenter
from clickgrain.training import card as card_module
from clickgrain.training import config as recipes
from clickgrain.training import learn as module
from clickgrain.training import loop, run_dir
from clickgrain.training.card import write_card
from clickgrain.training.config import LearnArgs, Recipe, TrainArgs
from clickgrain.training.learn import learn, train
from clickgrain.training.loop import fabric_for
from clickgrain.weights import load_model


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


def shrink(monkeypatch, settings, config):
    args = settings({"composites_per_photo": 0.5}, steps=3)
    monkeypatch.setitem(recipes.RECIPES, "grain-small", lambda: Recipe(config, args))


@pytest.fixture(autouse=True)
def tiny(monkeypatch, settings, tiny_config, one_thread, few_robot_clicks):
    """`grain-small` at a size that tests can wait for."""
    shrink(monkeypatch, settings, tiny_config)


@pytest.fixture
def args(photos, tmp_path):
    def make(**changes):
        return LearnArgs(**({"photos": photos, "out": tmp_path / "model", "device": "cpu"} | changes))

    return make


@pytest.fixture(scope="module")
def finished(tmp_path_factory, settings, tiny_config, drawn, one_thread, few_robot_clicks):
    """Photos, and the model that `learn` made of them."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "photos").mkdir()
    for seed in range(6):
        cv2.imwrite(str(folder / "photos" / f"p{seed}.png"), drawn(seed)[..., ::-1])
    bars = Bars()
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch, settings, tiny_config)
        result = learn(LearnArgs(folder / "photos", folder / "model", device="cpu"), bars)
    return folder, result, bars


@pytest.fixture
def done(finished, tmp_path):
    """The arguments of that run, in a copy that a test may do with as it likes."""
    shutil.copytree(finished[0], tmp_path / "copy")
    return LearnArgs(tmp_path / "copy" / "photos", tmp_path / "copy" / "model", device="cpu")


def steps_of(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if "loss" in line]


def model_of(folder):
    return (folder / "model.safetensors").read_bytes()


def test_photos_become_a_model(finished, drawn):
    folder, result, bars = finished
    assert result.folder == folder / "model"
    assert (result.fit.steps, result.photos, result.failed) == (3, 4 + 2, [])
    assert set(result.fit.metrics) == {
        "proposals NoC85", "proposals mIoU@1", "composites NoC85", "composites mIoU@1"
    }  # fmt: skip
    assert [stage for stage, *_ in bars.stages] == ["trees", "photos", "composites", "training"]
    assert bars.stages[0][1:] == (6, 0)
    assert any(note.startswith("all 10 images are in memory (") for note in bars.notes)
    assert load_model(result.folder)[0]["tree"] == "color-texture"  # the name behind "default"
    assert (result.folder / "previews" / "step-000003.png").is_file()
    segmenter = Segmenter.load(result.folder)
    segmenter.set_image(drawn(7))
    assert segmenter.predict([[40, 30]], [1]).probability.shape == (72, 96)


def test_a_stopped_run_goes_on_to_the_same_model(finished, tmp_path):
    args = LearnArgs(finished[0] / "photos", tmp_path / "model", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        learn(args, Bars(stop=2))
    bars = Bars()
    result = learn(args, bars)
    assert bars.stages[-1] == ("training", 3, 2)
    assert (result.fit.steps, len(result.fit.losses)) == (3, 1)
    assert steps_of(tmp_path / "model") == [1, 2, 3]
    assert model_of(tmp_path / "model") == model_of(finished[0] / "model")


def test_a_finished_run_returns_at_once(finished, done):
    first, bars = finished[1], Bars()
    again = learn(done, bars)
    assert bars.stages == [("trees", 6, 0)]
    assert (again.fit.steps, again.fit.losses, again.fit.metrics) == (3, [], first.fit.metrics)
    assert (again.folder, again.photos, again.failed) == (done.out, first.photos, [])


def test_every_stage_is_told_and_ended_before_the_next(args, photos):
    """ "35 of 36" for as long as the next stage took: a photo without a tree, and a stage that was never told."""
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff no more")
    told = []

    class Watch(Quiet):
        def start(self, what, total, done=0):
            told.append([what, done, total])

        def advance(self, text=""):
            told[-1][1] += 1

    learn(args(), Watch())
    assert told == [["trees", 7, 7], ["photos", 6, 6], ["composites", 4, 4], ["training", 3, 3]]


class TestTwoAtOnce:
    @pytest.fixture
    def busy(self, args):
        """Another process trains in the folder."""
        folder = args().out
        code = (
            "import sys, filelock\n"
            f"with filelock.FileLock({str(folder / run_dir.LOCK)!r}): print('in', flush=True); sys.stdin.read()"
        )
        folder.mkdir()
        process = subprocess.Popen([sys.executable, "-c", code], stdin=PIPE, stdout=PIPE, text=True)
        assert process.stdout.readline() == "in\n"
        yield process
        process.communicate()

    def test_the_second_is_refused_and_touches_nothing(self, args, busy):
        bars = Bars()
        with pytest.raises(TrainingError, match=r"another clickgrain is training in .*model; wait .*another --out"):
            learn(args(), bars)
        assert bars.stages == []
        assert [path.name for path in args().out.iterdir()] == [".run.lock"]

    def test_train_too(self, args, busy, photos, tmp_path, extractor):
        propose(photos, tmp_path / "trees", extractor=extractor, progress=False)
        with pytest.raises(TrainingError, match="another clickgrain is training"):
            train(args(store=tmp_path / "trees"), Bars())

    def test_a_process_that_was_killed_holds_nothing(self, args, busy):
        busy.kill()
        busy.wait()
        assert learn(args(), Bars()).fit.steps == 3

    def test_a_file_system_without_locks_is_no_hindrance(self, args, monkeypatch):
        def none(self):
            raise NotImplementedError("FileSystem does not appear to support flock")

        monkeypatch.setattr(run_dir.FileLock, "_acquire", none)
        assert learn(args(), Bars()).fit.steps == 3

    def test_a_folder_that_is_a_file(self, args):
        args().out.write_text("mine")
        refused = pytest.raises(TrainingError, match=r"model cannot be written to: .*; choose another --out")
        with refused, run_dir.locked(args().out):
            pass


def test_a_finished_run_whose_state_was_deleted_begins_again(finished, done):
    (done.out / "state.pt").unlink()
    assert learn(done, Bars()).fit.losses == finished[1].fit.losses
    assert model_of(done.out) == model_of(finished[0] / "model")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_finished_run_whose_model_was_damaged_writes_it_again(finished, done, name):
    path = done.out / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    result = learn(done, Bars())
    assert (result.fit.steps, result.fit.losses) == (3, [])
    assert path.read_bytes() == whole


class TestRefusals:
    @pytest.mark.parametrize(
        "changes", [{"lr": 1e-4}, {"seed": 5}, {"steps": 9}, {"crop": 96}, {"ignore": ("p1*",)}], ids=str
    )
    def test_other_settings_before_anything_is_done(self, done, changes):
        bars = Bars()
        with pytest.raises(
            TrainingError, match=rf"model holds a run with other settings \({next(iter(changes))}\)"
        ):
            learn(replace(done, **changes), bars)
        assert bars.stages == []

    def test_another_extractor_does_not_touch_the_trees(self, done):
        with pytest.raises(TrainingError, match=r"other settings \(extractor\)"):
            learn(replace(done, extractor=str(done.out)), Bars())
        assert {m.extractor[:13] for m in ProposalStore(done.out / "proposals.db").metas()} == {"color-texture"}

    def test_other_photos(self, done, drawn):
        cv2.imwrite(str(done.photos / "new.png"), drawn(20))
        with pytest.raises(TrainingError, match=r"state\.pt belongs to a run with .*other photos"):
            learn(done, Bars())

    @pytest.mark.parametrize(
        "content", [b"", b"{", b"[]", b'{"asked": {}}', b'{"asked": {}, "steps": Infinity}', b"[" * 100_000]
    )
    def test_a_damaged_run_file(self, args, tmp_path, content):
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "run.json").write_bytes(content)
        with pytest.raises(TrainingError, match=r"run\.json cannot be read .*; choose another --out, or delete it"):
            learn(args(), Bars())

    def test_a_folder_without_photos(self, args, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(DataError, match="empty: no images found"):
            learn(args(photos=tmp_path / "empty"), Bars())

    def test_no_folder(self, args, tmp_path):
        with pytest.raises(DataError, match="nowhere: no such folder"):
            learn(args(photos=tmp_path / "nowhere"), Bars())

    def test_an_unknown_extractor(self, args, tmp_path):
        with pytest.raises(ClickgrainError, match="no-such-extractor"):
            learn(args(extractor=str(tmp_path / "no-such-extractor")), Bars())
        assert not (tmp_path / "model" / "proposals.db").exists()

    @pytest.mark.parametrize("flag", [{"recipe": "huge"}, {"batch": 0}, {"lr": -1.0}, {"steps": 0}], ids=str)
    def test_settings_that_make_no_sense_before_trees_are_made(self, args, tmp_path, flag):
        with pytest.raises(ConfigError, match=f"--{next(iter(flag))}"):
            learn(args(**flag), Bars())
        assert not (tmp_path / "model").exists()

    def test_a_full_disk(self, args, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("clickgrain.files.atomic_write", full)
        with pytest.raises(TrainingError, match=r"run\.json: cannot be written \(No space left on device\); free"):
            learn(args(), Bars())


class TestPhotos:
    def test_bad_ones_are_named_and_stop_nothing(self, args, photos):
        (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff no more")
        (photos / "empty.png").write_bytes(b"")
        cv2.imwrite(str(photos / "speck.png"), np.zeros((1, 1, 3), np.uint8))
        result = learn(args(), Bars())
        assert result.fit.steps == 3
        assert len(result.failed) == 2
        assert "broken.jpg" in result.failed[0]
        assert "empty.png" in result.failed[1]

    def test_one_that_broke_after_its_tree_was_made_is_named_once(self, done, tmp_path):
        (done.photos / "p1.png").write_bytes(b"broken")
        changed = replace(done, store=done.out / "proposals.db", out=tmp_path / "other")
        result = learn(changed, Bars())
        assert len(result.failed) == 1
        assert "p1.png" in result.failed[0]

    def test_a_single_one(self, args, tmp_path, drawn):
        (tmp_path / "one").mkdir()
        cv2.imwrite(str(tmp_path / "one" / "a.png"), drawn(0))
        assert learn(args(photos=tmp_path / "one"), Bars()).fit.steps == 3

    def test_a_file_in_the_place_of_a_folder(self, args, photos):
        assert learn(args(photos=photos / "p0.png"), Bars()).fit.steps == 3

    def test_a_model_among_the_photos_is_not_learned_from(self, args, photos):
        """Previews lie in the model's folder; the second sitting must not take them for photos."""
        with pytest.raises(KeyboardInterrupt):
            learn(args(out=photos / "my [model]"), Bars(stop=2))
        (photos / "my [model]" / "previews").mkdir(exist_ok=True)
        cv2.imwrite(str(photos / "my [model]" / "previews" / "step-000002.png"), np.zeros((64, 64, 3), np.uint8))
        result = learn(args(out=photos / "my [model]"), Bars())
        assert (result.fit.steps, result.photos) == (3, 6)

    @pytest.mark.parametrize("way", ["absolute", "relative", "through a link", "beside"])
    def test_previews_of_any_run_are_no_photos(self, args, photos, tmp_path, monkeypatch, extractor, way):
        monkeypatch.chdir(photos)
        (tmp_path / "link").symlink_to(photos, target_is_directory=True)
        place, out = {
            "absolute": (photos, photos / "model"),
            "relative": (Path(), Path("model")),
            "through a link": (tmp_path / "link", photos / "model"),
            "beside": (photos, tmp_path / "link" / "other" / "model"),
        }[way]
        assert learn(args(photos=place, out=out), Bars()).photos == 6
        assert any(out.glob("previews/*.png"))
        again = learn(args(photos=place, out=tmp_path / "second"), Bars())
        assert (again.photos, again.failed) == (6, [])
        assert propose(photos, tmp_path / "trees.db", extractor=extractor, progress=False).done == 6

    def test_ignored_ones_are_not_used_even_if_they_have_trees(self, args, photos, tmp_path, extractor):
        propose(photos, tmp_path / "trees", extractor=extractor, progress=False)
        bars = Bars()
        train(args(store=tmp_path / "trees", ignore=("more", "p0.png")), bars)
        assert bars.stages[0] == ("photos", 4, 0)

    def test_trees_of_another_extractor_are_left_out_and_named(self, args, photos, tmp_path, extractor):
        from clickgrain.features import load_extractor

        propose(photos, tmp_path / "trees", extractor=extractor, progress=False)
        other = load_extractor("color-texture", patch_size=8)
        propose(photos, tmp_path / "trees", extractor=other, progress=False, ignore=("p[0-4]*",))
        result = train(args(store=tmp_path / "trees"), Bars())
        assert len(result.failed) == 1
        assert "p5.png: its tree comes from the extractor 'color-texture-p8" in result.failed[0]


class TestTrain:
    def test_it_needs_a_store(self, args):
        with pytest.raises(ConfigError, match="--store"):
            train(args(), Bars())

    def test_it_gives_what_learn_gives(self, finished, tmp_path, extractor):
        photos = finished[0] / "photos"
        propose(photos, tmp_path / "trees", extractor=extractor, progress=False)
        train(LearnArgs(photos, tmp_path / "trained", device="cpu", store=tmp_path / "trees"), Bars())
        assert model_of(tmp_path / "trained") == model_of(finished[0] / "model")

    def test_broken_photos_are_named(self, done, tmp_path):
        (done.photos / "p1.png").write_bytes(b"broken")
        bars = Bars(stop=1)
        with pytest.raises(KeyboardInterrupt):
            train(replace(done, store=done.out / "proposals.db", out=tmp_path / "other"), bars)
        again = train(replace(done, store=done.out / "proposals.db", out=tmp_path / "other"), Bars())
        assert len(again.failed) == 1
        assert "p1.png" in again.failed[0]


class TestPrecision:
    @pytest.fixture(autouse=True)
    def undecided(self, monkeypatch, settings, tiny_config):
        """As the recipes ship: with the precision that suits the device."""
        own = settings({"composites_per_photo": 0.5}, steps=3, precision="auto")
        monkeypatch.setitem(recipes.RECIPES, "grain-small", lambda: Recipe(tiny_config, own))

    @pytest.fixture
    def amx(self, monkeypatch):
        def pretend(there):
            monkeypatch.setattr(devices, "WIDE", 0)
            monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "amx_bf16": there})

        return pretend

    @pytest.fixture
    def used(self, monkeypatch):
        """The precisions that `fit` is called with."""
        found = []

        def spy(*given, **more):
            found.append(given[3].precision)
            return loop.fit(*given, **more)

        monkeypatch.setattr(module, "fit", spy)
        return found

    @pytest.mark.parametrize(("there", "chosen"), [(True, "bf16"), (False, "float32")])
    def test_the_choice_is_made_by_the_cpu_said_once_and_stored(self, args, amx, used, there, chosen):
        amx(there)
        bars = Bars(stop=1)
        with pytest.raises(KeyboardInterrupt):
            learn(args(), bars)
        (said,) = (note for note in bars.notes if "network runs in" in note)
        assert said.startswith(f"the network runs in {chosen} (the faster one on this device; --precision")
        assert json.loads((args().out / "run.json").read_text())["precision"] == chosen
        again = Bars()
        learn(args(), again)
        assert [note for note in again.notes if "network runs in" in note] == []
        assert used == [chosen, chosen]
        assert json.loads((args().out / "run.json").read_text())["precision"] == chosen

    def test_a_run_keeps_the_one_it_began_with_on_another_machine(self, args, amx, used):
        amx(True)
        with pytest.raises(KeyboardInterrupt):
            learn(args(), Bars(stop=2))
        amx(False)
        bars = Bars()
        assert learn(args(), bars).fit.steps == 3
        assert used == ["bf16", "bf16"]
        (said,) = (note for note in bars.notes if "bf16" in note)
        assert "cpu does not compute bf16 in hardware" in said
        assert "a new --out begins in float32" in said

    def test_the_flag_wins_and_says_what_it_costs(self, args, amx, used):
        amx(False)
        bars = Bars()
        learn(args(precision="bf16"), bars)
        assert used == ["bf16"]
        assert "the network runs in bf16 (asked for)" in bars.notes
        assert any("several times as long as in float32" in note for note in bars.notes)
        with pytest.raises(TrainingError, match=r"other settings \(precision\)"):
            learn(args(precision="float32"), Bars())

    def test_a_run_from_before_the_flag_goes_on_in_bf16(self, args, amx, used):
        amx(True)
        with pytest.raises(KeyboardInterrupt):
            learn(args(), Bars(stop=2))
        path = args().out / "run.json"
        saved = json.loads(path.read_text())
        del saved["precision"], saved["asked"]["precision"]  # as it was written then
        path.write_text(json.dumps(saved))
        amx(False)
        assert learn(args(), Bars()).fit.steps == 3
        assert used == ["bf16", "bf16"]


class TestMinutes:
    def test_nothing_is_timed_beforehand(self, args, monkeypatch):
        """Every step that is made is one of the run's own."""
        made = []
        train_step = loop._Run.train
        monkeypatch.setattr(
            loop._Run,
            "train",
            lambda run, parts, waited: made.extend(batch.step for batch in parts) or train_step(run, parts, waited),
        )
        bars = Bars(stop=3)
        with pytest.raises(KeyboardInterrupt):
            learn(args(minutes=2.0), bars)
        assert made == [0, 1, 2]
        assert bars.stages[-1] == ("training", 3, 0)  # the recipe's, until its own pace is known
        assert json.loads((args().out / "run.json").read_text())["steps"] == 3

    def test_a_few_at_least_and_the_same_after_a_stop(self, args):
        asked = args(minutes=1e-4)
        with pytest.raises(KeyboardInterrupt):
            learn(asked, Bars(stop=2))
        bars = Bars()
        assert learn(asked, bars).fit.steps == 20
        assert bars.stages[-1] == ("training", 20, 2)

    def test_the_clock_ends_a_run_and_the_same_call_finds_it_finished(self, args):
        asked = args(minutes=0.05)
        result = learn(asked, Bars())
        steps = result.fit.steps
        assert 20 <= steps < 3000
        lines = [json.loads(line) for line in (asked.out / "metrics.jsonl").read_text().splitlines()]
        assert [line["planned"] >= line["step"] for line in lines if "loss" in line] == [True] * steps
        bars = Bars()
        assert learn(asked, bars).fit.steps == steps
        assert [stage for stage, *_ in bars.stages] == ["trees"]

    @pytest.mark.parametrize(("steps", "warmup"), [(50, 10), (5000, 100)])
    def test_a_short_run_does_not_only_warm_up(self, steps, warmup):
        assert TrainArgs(warmup=100).with_steps(steps) == TrainArgs(steps=steps, warmup=warmup)


class TestArguments:
    @pytest.mark.parametrize(
        ("flag", "changes"),
        [
            ("--minutes and --steps", {"minutes": 3.0, "steps": 4}),
            ("--minutes 0", {"minutes": 0.0}),
            ("--minutes nan", {"minutes": float("nan")}),
            ("--minutes inf", {"minutes": float("inf")}),
            ("--crop 50", {"crop": 50}),
            ("--crop 0", {"crop": 0}),
            ("--seed -1", {"seed": -1}),
            ("--from and --from-scratch", {"start": "default", "from_scratch": True}),
        ],
    )
    def test_contradictions_name_the_flag(self, args, flag, changes):
        with pytest.raises(ConfigError, match=flag):
            args(**changes)

    @pytest.mark.parametrize("name", ["cpu", "cpu:0", "auto"])
    def test_devices_that_are(self, name):
        assert fabric_for(choose_device(name)).device.type in ("cpu", "cuda")

    def test_the_default_model_is_the_start_where_it_ships(self, args, make_model, monkeypatch):
        shipped = make_model(seed=42)
        monkeypatch.setattr(module, "load_click_model", lambda name: shipped)
        recipe = Recipe(shipped.config, TrainArgs(lr=0.8))
        model, gentle = module.first_model(args(recipe="auto"), recipe, Bars())
        assert model is shipped
        assert gentle.args == TrainArgs(lr=0.2)
        asked = recipe.with_settings(lr=0.6)
        assert module.first_model(args(lr=0.6), asked, Bars())[1].args.lr == 0.6
        for changes in ({"from_scratch": True}, {"recipe": "grain-small"}):
            model, same = module.first_model(args(**changes), recipe, Bars())
            assert model is not shipped
            assert same == recipe

    @pytest.mark.parametrize("recipe", ["auto", "grain-small"])
    def test_another_start_by_name(self, args, make_model, monkeypatch, recipe):
        mine = make_model(seed=42)
        monkeypatch.setattr(module, "load_click_model", {"mine": mine}.__getitem__)
        settings = Recipe(mine.config, TrainArgs(lr=0.8))
        model, gentle = module.first_model(args(recipe=recipe, start="mine"), settings, Bars())
        assert model is mine
        assert gentle.args.lr == 0.2

    def test_a_start_that_is_not_there_is_no_reason_to_begin_from_scratch(self, args, tmp_path):
        asked = args(start=str(tmp_path / "nowhere"))
        with pytest.raises(WeightsError, match="nowhere"):
            learn(asked, Bars())
        assert not asked.out.exists()  # said before the trees of thousands of photos are built

    def test_a_model_that_was_learned_learns_on(self, done, tmp_path):
        on = learn(replace(done, out=tmp_path / "on", start=str(done.out)), Bars())
        assert on.fit.steps == 3
        assert model_of(tmp_path / "on") != model_of(done.out)

    def test_it_learns_click_maps_that_it_has_not_seen_yet(self, args, tiny_config, monkeypatch):
        known = tuple(name for name in tiny_config.maps if name not in ("edge+", "level"))
        shipped = GrainModel(replace(tiny_config, maps=known))
        monkeypatch.setattr(module, "load_click_model", lambda name: shipped)
        model, _ = module.first_model(args(), Recipe(tiny_config, TrainArgs()), Bars())
        assert model.config.maps == (*known, "level", "edge+")
        weight, before = model.decoder.shortcut.weight, shipped.decoder.shortcut.weight
        assert torch.equal(weight[:, : len(known)], before)
        assert not weight[:, len(known) :].any()

    def test_the_recipe_for_first_clicks_adds_a_decoder_to_the_shipped_model(self, args, tiny_config, monkeypatch):
        known = tuple(name for name in tiny_config.maps if name != "ball")
        shipped = GrainModel(replace(tiny_config, maps=known))
        monkeypatch.setattr(module, "load_click_model", lambda name: shipped)
        recipe = Recipe(replace(tiny_config, first_maps=tiny_config.maps), TrainArgs(lr=0.8, learns="first"))
        model, gentle = module.first_model(args(recipe="first-clicks"), recipe, Bars())
        assert (model.config.maps, model.config.first_maps) == (known, tiny_config.maps)
        assert gentle.args.lr == 0.2
        monkeypatch.setattr(module, "load_click_model", lambda name: model)  # which another run goes on with
        assert module.first_model(args(recipe="first-clicks"), recipe, Bars())[0] is model
        corrections = Recipe(tiny_config, TrainArgs(lr=0.8, learns="corrections"))
        goes_on, _ = module.first_model(args(recipe="corrections"), corrections, Bars())
        assert (goes_on.config.maps, goes_on.config.first_maps) == (known, tiny_config.maps)
        for name, of_one in (("first-clicks", recipe), ("corrections", corrections)):
            with pytest.raises(ConfigError, match="leave out --from-scratch"):
                module.first_model(args(recipe=name, from_scratch=True), of_one, Bars())

    def test_without_a_shipped_model_trees_come_from_colour_and_texture(self, monkeypatch):
        def none():
            raise WeightsError("none")

        bars = Bars()
        assert module.usable_extractor("default", bars) == "color-texture"
        assert bars.notes == []
        monkeypatch.setattr(module, "default_extractor", none)
        assert module.usable_extractor("default", bars) == "color-texture"
        assert "'color-texture'" in bars.notes[0]
        assert module.usable_extractor("facebook/dino-vits8", bars) == "facebook/dino-vits8"

    def test_without_it_training_starts_from_scratch_and_says_so(self, args, tiny_config, monkeypatch):
        def none(name):
            raise WeightsError("none")

        monkeypatch.setattr(module, "load_click_model", none)
        bars = Bars()
        module.first_model(args(), Recipe(tiny_config, TrainArgs()), bars)
        assert bars.notes == ["no trained model ships with this version; training starts from scratch"]


def test_the_model_has_a_card_of_its_run_that_hugging_face_reads(done):
    path = done.out / "README.md"
    card = ModelCard(path.read_text())
    assert (card.data.library_name, card.data.pipeline_tag) == ("clickgrain", "mask-generation")
    run = json.loads((done.out / "run.json").read_text())
    steps = [json.loads(line) for line in (done.out / "metrics.jsonl").read_text().splitlines()]
    last = [line for line in steps if "loss" in line][-1]
    assert f"| Photos and composites | {run['pictures']}, unlabelled |" in card.text
    assert f"| Steps | 3, the last loss {last['loss']:.4f} |" in card.text
    checked = [line for line in steps if "loss" not in line][-1]
    for name, value in checked.items():
        assert name == "step" or value is None or f"| {name} | {value:.3f} |" in card.text
    assert GrainModel.from_pretrained(done.out).card == path.read_text()


def test_a_card_that_was_edited_is_kept(done):
    path = done.out / "README.md"
    write_card(done.out)
    written = path.read_text()
    assert "written by clickgrain" in written
    path.write_text("mine")
    write_card(done.out)
    assert path.read_text() == "mine"


def test_a_card_that_cannot_be_written_is_told(done, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(card_module, "atomic_write", full)
    with pytest.raises(TrainingError, match="the model card cannot be written"):
        write_card(done.out)
