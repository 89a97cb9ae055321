"""The loop: it learns, it can be stopped anywhere, and it says clearly what is wrong."""

import errno
import json
import re
import signal
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clickgrain.errors import TrainingError
from clickgrain.files import atomic_write
from clickgrain.models.grain import GrainModel
from clickgrain.progress import Quiet
from clickgrain.segmenter import Segmenter
from clickgrain.training import loop, plan, run_dir
from clickgrain.training.loop import fit
from clickgrain.training.plan import learning_rate
from clickgrain.training.run_dir import BEFORE, METRICS, STATE

GOLDEN = Path(__file__).parents[2] / "golden" / "train_losses.json"
PICTURES = range(7)


class Stop(Quiet):
    """Raises in the place of the user after so many steps."""

    def __init__(self, after, error=KeyboardInterrupt):
        self.left, self.error = after, error

    def advance(self, text=""):
        self.left -= 1
        if self.left == 0:
            raise self.error


class Notes(Quiet):
    """Keeps what is said."""

    def __init__(self):
        self.notes, self.texts = [], []

    def note(self, text):
        self.notes.append(text)

    def advance(self, text=""):
        self.texts.append(text)


class PowerCutError(Exception):
    """A power cut: nothing of ours runs afterwards."""


def metrics(out):
    return [json.loads(line) for line in (out / METRICS).read_text().splitlines()]


def losses(out):
    return [line["loss"] for line in metrics(out) if "loss" in line]


def state(out):
    """Weights, averages and optimiser of a run, as flat numbers, bit for bit."""
    saved = torch.load(out / STATE, weights_only=True)
    moments = [t for entry in saved["optimizer"]["state"].values() for t in entry.values()]
    return saved["step"], [*saved["model"].values(), *saved["average"].values(), *moments]


def assert_identical(one, two):
    (steps, tensors), (other_steps, others) = state(one), state(two)
    assert steps == other_steps
    assert len(tensors) == len(others)
    assert all(map(torch.equal, tensors, others))
    assert losses(one) == losses(two)
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def run(mixed, make_model, settings, one_thread):
    """Train from the same first weights; `fit`'s result."""

    def start(
        out, *, pictures=PICTURES, image_set=mixed, model=None, validate=None, progress=None, fabric=None,
        seconds=None, **changes,
    ):  # fmt: skip
        return fit(
            model or make_model(), image_set, list(pictures), settings(**changes), out, validate=validate,
            progress=progress, fabric=fabric, seconds=seconds,
        )  # fmt: skip

    return start


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    """A run that was never stopped."""
    out = tmp_path_factory.mktemp("whole")
    run(out)
    return out


class TestInterrupted:
    @pytest.mark.parametrize("precision", ["float32", "bf16"])
    def test_a_run_stopped_twice_ends_as_if_it_had_not_been(self, run, whole, tmp_path, precision):
        if precision != "float32":
            whole = tmp_path / "whole"
            run(whole, precision=precision)
        for after in (1, 2):
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path / "stopped", precision=precision, progress=Stop(after))
        result = run(tmp_path / "stopped", precision=precision, threads=2)
        assert (result.steps, len(result.losses)) == (4, 1)
        assert_identical(whole, tmp_path / "stopped")

    def test_a_crash_between_checkpoints_goes_back_to_the_last(self, run, whole, tmp_path, monkeypatch):
        now = iter(range(0, 10_000_000, 70))  # seconds: a save every other time that the clock is asked
        monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(now)))
        with pytest.raises(PowerCutError):
            run(tmp_path / "crashed", checkpoint_every=700.0, progress=Stop(4, PowerCutError))
        done, _ = state(tmp_path / "crashed")
        assert 0 < done < 3
        with (tmp_path / "crashed" / METRICS).open("a") as file:  # what else had reached the disk
            file.write('{"step": 3, "loss": 9.0}\n{"step": 4, "lo')
        run(tmp_path / "crashed", checkpoint_every=700.0)
        assert_identical(whole, tmp_path / "crashed")

    def test_an_interrupt_inside_validation(self, run, whole, tmp_path):
        def interrupted(model, step):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "stopped", validate_every=2, validate=interrupted)
        assert state(tmp_path / "stopped")[0] == 2
        run(tmp_path / "stopped", validate_every=2)
        assert_identical(whole, tmp_path / "stopped")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_stop_in_the_middle_of_an_update_waits_for_its_end(self, run, whole, tmp_path, monkeypatch, number):
        """Half an update must never be saved: the page's own Stop sends SIGTERM."""
        update = loop.MovingAverage.update

        def pressed(self, model, step):
            if step == 1:
                signal.raise_signal(number)
            update(self, model, step)

        usual = signal.signal(number, signal.default_int_handler)  # the command line turns SIGTERM into Ctrl-C
        try:
            with monkeypatch.context() as patch:
                patch.setattr(loop.MovingAverage, "update", pressed)
                with pytest.raises(KeyboardInterrupt):
                    run(tmp_path / "stopped")
            assert signal.getsignal(number) is signal.default_int_handler
        finally:
            signal.signal(number, usual)
        saved = torch.load(tmp_path / "stopped" / STATE, weights_only=True)
        assert saved["step"] == 2
        assert {float(entry["step"]) for entry in saved["optimizer"]["state"].values()} == {2.0}
        run(tmp_path / "stopped")
        assert_identical(whole, tmp_path / "stopped")

    def test_a_second_stop_waits_until_the_state_is_saved(self, run, whole, tmp_path, monkeypatch):
        write = run_dir.atomic_write

        def impatient(path, content):
            if path.name == STATE:
                signal.raise_signal(signal.SIGINT)
            write(path, content)

        with monkeypatch.context() as patch:
            patch.setattr(run_dir, "atomic_write", impatient)
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path / "stopped", progress=Stop(2))
        assert state(tmp_path / "stopped")[0] == 2
        run(tmp_path / "stopped")
        assert_identical(whole, tmp_path / "stopped")

    def test_a_stop_while_validation_puts_the_weights_back(self, run, whole, tmp_path, monkeypatch):
        """Whatever moment it comes at, the saved weights are the run's own, not the averaged ones."""
        load, calls = GrainModel.load_state_dict, []

        def pressed(self, weights, *more, **named):
            calls.append(1)
            if len(calls) == 2:  # the first call brings the averaged weights in, the second the run's own back
                raise KeyboardInterrupt
            return load(self, weights, *more, **named)

        with monkeypatch.context() as patch:
            patch.setattr(GrainModel, "load_state_dict", pressed)
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path / "stopped", validate_every=2, validate=lambda model, step: {"NoC": 1.0})
        assert len(calls) == 2
        run(tmp_path / "stopped", validate_every=2)
        assert_identical(whole, tmp_path / "stopped")

    def test_a_validation_that_was_missed_is_made_up_for(self, run, tmp_path):
        def interrupted(model, step):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, steps=2, validate=interrupted)
        assert run(tmp_path, steps=2, validate=lambda model, step: {"NoC": 3.0}).metrics == {"NoC": 3.0}
        assert metrics(tmp_path)[-1] == {"step": 2, "NoC": 3.0}

    def test_a_finished_run_returns_at_once_with_its_metrics(self, run, tmp_path):
        run(tmp_path, validate=lambda model, step: {"NoC": 3.0})
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        result = run(tmp_path, validate=lambda model, step: {"NoC": 99.0})
        assert (result.steps, result.losses, result.metrics) == (4, [], {"NoC": 3.0})
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


class TestRefusals:
    def test_other_settings(self, run, tmp_path):
        run(tmp_path)
        with pytest.raises(TrainingError, match=r"state\.pt belongs to a run with other settings"):
            run(tmp_path, lr=1e-3)

    def test_other_photos(self, run, tmp_path):
        run(tmp_path)
        with pytest.raises(TrainingError, match=r"state\.pt belongs to a run with other settings, other photos"):
            run(tmp_path, pictures=[0, 1, 4])

    def test_settings_that_change_no_weight_may_differ(self, run, tmp_path):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, progress=Stop(1))
        run(tmp_path, threads=3, validate_every=3, checkpoint_every=0.0, validation_targets=5)

    @pytest.mark.parametrize("damage", ["truncated", "noise", "empty", "another file"])
    def test_a_damaged_state(self, run, tmp_path, damage):
        run(tmp_path, steps=1)
        path = tmp_path / STATE
        if damage == "another file":
            torch.save({"weights": torch.zeros(3)}, path)
        else:
            content = path.read_bytes()
            path.write_bytes(
                {"truncated": content[: len(content) // 2], "noise": b"\x80 noise", "empty": b""}[damage]
            )
        with pytest.raises(TrainingError, match=r"state\.pt is no training state .*delete it to start"):
            run(tmp_path, steps=1)

    def test_a_state_of_another_version(self, run, tmp_path, monkeypatch):
        run(tmp_path, steps=1)
        monkeypatch.setattr(run_dir, "FORMAT", 2)
        with pytest.raises(TrainingError, match="another version of clickgrain"):
            run(tmp_path, steps=1)

    def test_no_images(self, run, tmp_path):
        with pytest.raises(TrainingError, match="no images"):
            run(tmp_path, pictures=[])


class TestDamagedState:
    @pytest.fixture
    def stopped(self, run, tmp_path):
        """A run that was stopped after its second save, at step 3."""
        for after in (2, 1):
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path / "run", progress=Stop(after))
        return tmp_path / "run"

    @pytest.mark.parametrize("damage", ["truncated", "empty", "noise"])
    def test_the_one_before_takes_over_and_it_is_said(self, run, whole, stopped, damage):
        path = stopped / STATE
        content = path.read_bytes()
        kept = {"truncated": content[: len(content) // 2], "empty": b"", "noise": b"\x80 noise"}
        path.write_bytes(kept[damage])
        bar = Notes()
        assert run(stopped, progress=bar).steps == 4
        assert bar.notes == [f"{path} is damaged; the run continues from the state before it, after step 2"]
        assert_identical(whole, stopped)

    def test_the_good_one_survives_a_full_disk(self, run, whole, stopped, monkeypatch):
        (stopped / STATE).write_bytes(b"")
        with monkeypatch.context() as patch:
            patch.setattr(run_dir, "atomic_write", full_for_states)
            with pytest.raises(TrainingError, match="No space left"):
                run(stopped)
        assert run(stopped).steps == 4
        assert_identical(whole, stopped)

    def test_one_that_may_not_be_read_is_not_damaged(self, run, stopped, monkeypatch):
        def forbidden(path, **_):
            raise PermissionError(errno.EACCES, "Permission denied")

        with monkeypatch.context() as patch:
            patch.setattr(run_dir.torch, "load", forbidden)
            with pytest.raises(
                TrainingError, match=r"state\.pt cannot be read \(Permission denied\); make it readable"
            ):
                run(stopped)
        assert state(stopped)[0] == 3

    def test_both_damaged(self, run, stopped):
        for name in (STATE, BEFORE):
            (stopped / name).write_bytes(b"")
        with pytest.raises(TrainingError, match=r"state\.pt is no training state .*delete it to start"):
            run(stopped)

    def test_who_deletes_the_state_begins_again(self, run, whole, stopped):
        (stopped / STATE).unlink()
        assert len(run(stopped).losses) == 4
        assert_identical(whole, stopped)

    def test_without_hard_links(self, run, whole, tmp_path, monkeypatch):
        def none(*_):
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(run_dir.os, "link", none)
        for after in (2, 1):
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path / "run", progress=Stop(after))
        (tmp_path / "run" / STATE).write_bytes(b"")
        assert len(run(tmp_path / "run").losses) == 2
        assert_identical(whole, tmp_path / "run")


class TestNotFinite:
    """One bad batch costs one step; a run that is lost says so."""

    @pytest.fixture
    def spoil(self, make_model, monkeypatch):
        def make(bad, where):
            model = make_model()
            now = []
            train = loop._Run.train

            def noted(self, batches, waited):
                now[:] = [batches[0].step]
                return train(self, batches, waited)

            monkeypatch.setattr(loop._Run, "train", noted)
            decode = model.decode

            def broken(encoded, maps):
                decoded = decode(encoded, maps)
                return decoded._replace(logits=decoded.logits * torch.nan) if bad(now[0]) else decoded

            if where == "loss":
                model.decode = broken
            else:
                weight = next(p for p in model.parameters() if p.ndim > 1)
                weight.register_hook(lambda gradient: gradient * torch.inf if bad(now[0]) else gradient)
            return model

        return make

    @pytest.mark.parametrize("where", ["loss", "gradient"])
    def test_a_step_is_skipped_counted_and_changes_nothing(self, run, spoil, tmp_path, where):
        result = run(tmp_path, model=spoil(lambda step: step == 1, where), steps=3, threads=1)
        assert (result.steps, result.skipped, len(result.losses)) == (3, 1, 2)
        first, bad, last = metrics(tmp_path)
        assert "skipped" not in first | last
        assert where in bad["skipped"]
        assert {"loss", "norm"}.isdisjoint(bad)
        saved = torch.load(tmp_path / STATE, weights_only=True)
        assert {float(entry["step"]) for entry in saved["optimizer"]["state"].values()} == {2.0}
        assert all(value.isfinite().all() for value in (*saved["model"].values(), *saved["average"].values()))

    def test_the_count_survives_a_stop(self, run, spoil, tmp_path):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, model=spoil(lambda step: step == 0, "loss"), progress=Stop(2))
        assert run(tmp_path).skipped == 1

    @pytest.mark.parametrize("where", ["loss", "gradient"])
    def test_many_in_a_row_end_the_run_with_advice(self, run, spoil, tmp_path, where):
        with pytest.raises(
            TrainingError, match=rf"^10 steps in a row .* \(step 12: .*{where} (nan|inf).*--lr than 0.005$"
        ):
            run(tmp_path, model=spoil(lambda step: step >= 2, where), steps=50)
        assert len(losses(tmp_path)) == 2  # what led there can be read
        assert len(metrics(tmp_path)) == 12

    def test_in_bf16_full_precision_is_advised_too(self, run, spoil, tmp_path):
        with pytest.raises(TrainingError, match=r"or with --precision float32$"):
            run(tmp_path, model=spoil(lambda step: True, "loss"), steps=50, precision="bf16")

    def test_as_many_with_good_ones_between_do_not(self, run, spoil, tmp_path):
        result = run(tmp_path, model=spoil(lambda step: step % 2 == 0, "gradient"), steps=24)
        assert (result.steps, result.skipped) == (24, 12)


def full_for_states(path, content):
    """A disk without room for anything as large as a state."""
    if path.name == STATE:
        raise OSError(errno.ENOSPC, "No space left on device")
    atomic_write(path, content)


class TestFullDisk:
    def test_the_state_before_stays(self, run, whole, tmp_path, monkeypatch):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, progress=Stop(1))
        before = (tmp_path / STATE).read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(run_dir, "atomic_write", full_for_states)
            with pytest.raises(TrainingError, match=r"state\.pt: No space left on device; free some space"):
                run(tmp_path)
        assert (tmp_path / STATE).read_bytes() == before
        run(tmp_path)
        assert_identical(tmp_path, whole)

    def test_metrics_that_cannot_be_written(self, run, tmp_path, monkeypatch):
        opened = Path.open

        def full_for_metrics(self, *arguments, **settings):
            if self.name == METRICS:
                raise OSError(errno.ENOSPC, "No space left on device")
            return opened(self, *arguments, **settings)

        monkeypatch.setattr(Path, "open", full_for_metrics)
        with pytest.raises(TrainingError, match=r"metrics\.jsonl: No space left on device; free some space"):
            run(tmp_path, steps=1)

    def test_a_folder_that_is_a_file(self, run, tmp_path):
        (tmp_path / "out").write_text("mine")
        with pytest.raises(TrainingError, match="out"):
            run(tmp_path / "out", steps=1)


class TestTwoDecoders:
    @pytest.mark.parametrize(("learns", "decoder"), [("first", "first."), ("corrections", "decoder.")])
    def test_nothing_but_one_decoder_learns(self, run, make_model, tmp_path, learns, decoder):
        two = make_model().with_first((*make_model().config.maps,))
        before = {name: value.clone() for name, value in two.state_dict().items()}
        run(tmp_path, model=two, learns=learns)
        changed = {name for name, value in two.state_dict().items() if not torch.equal(value, before[name])}
        assert changed
        assert all(name.startswith(decoder) for name in changed)

    def test_else_both_decoders_learn(self, run, make_model, tmp_path):
        two = make_model().with_first((*make_model().config.maps,))
        before = {name: value.clone() for name, value in two.state_dict().items()}
        run(tmp_path, model=two)
        changed = {
            name.split(".")[0] for name, value in two.state_dict().items() if not torch.equal(value, before[name])
        }
        assert {"encoder", "decoder", "first"} <= changed

    @pytest.mark.parametrize("learns", ["first", "corrections"])
    def test_a_model_without_one_is_refused(self, run, tmp_path, learns):
        with pytest.raises(TrainingError, match="no decoder for first clicks"):
            run(tmp_path, learns=learns)


class TestMetrics:
    def test_a_line_per_step_in_order(self, run, tmp_path):
        run(tmp_path, validate_every=2, validate=lambda model, step: {"NoC": float(step)})
        lines = metrics(tmp_path)
        assert [line["step"] for line in lines] == [1, 2, 2, 3, 4, 4]
        assert [line["NoC"] for line in lines if "NoC" in line] == [2.0, 4.0]
        for line in lines:
            if "loss" in line:
                assert {"lr", "norm", "seconds", "bce", "dice", "iou"} <= set(line)
                assert line["waited"] >= 0
        assert [line["lr"] for line in lines if "lr" in line] == [learning_rate_of(step) for step in range(4)]

    def test_waiting_for_data_is_told_from_work(self, run, tmp_path, monkeypatch):
        prepare, share = loop._Run.prepare, []
        for pause in (0.0, 1.0):
            monkeypatch.setattr(
                loop._Run, "prepare", lambda *given, pause=pause: time.sleep(pause) or prepare(*given)
            )
            share.append(run(tmp_path / f"{pause}").waited)
        assert 0 <= share[0] < share[1] < 1

    @pytest.mark.parametrize(
        "line", ['{"step": 1, "NoC85": []}', '{"step": 1, "NoC85": 1%s}' % ("0" * 400), "[" * 99_999]
    )
    def test_lines_that_it_never_writes_are_dropped(self, tmp_path, line):
        (tmp_path / METRICS).write_text(f'{{"step": 1, "NoC85": 3.5}}\n{line}\n')
        log = run_dir.MetricsLog(tmp_path / METRICS)
        log.rewind(2)
        assert log.validated == {"NoC85": 3.5}
        assert metrics(tmp_path) == [{"step": 1, "NoC85": 3.5}]

    def test_a_new_run_begins_a_new_file(self, run, tmp_path):
        (tmp_path / METRICS).write_text('{"step": 1, "loss": 7.0}\n')
        run(tmp_path, steps=1)
        assert len(metrics(tmp_path)) == 1
        assert losses(tmp_path) != [7.0]

    def test_the_averaged_weights_are_validated_and_training_goes_on_from_its_own(self, run, make_model, tmp_path):
        seen = []

        def look(model, step):
            assert not model.training
            seen.append({name: value.clone() for name, value in model.state_dict().items()})
            return {}

        model = make_model()
        run(tmp_path, model=model, validate=look)
        saved = torch.load(tmp_path / STATE, weights_only=True)
        for name, value in model.state_dict().items():
            assert torch.equal(value, saved["model"][name])
            assert torch.equal(seen[0][name], saved["average"][name])
        assert any(not torch.equal(saved["model"][name], saved["average"][name]) for name in saved["model"])

    def test_validation_changes_nothing(self, run, whole, tmp_path):
        def busy(model, step):
            torch.rand(3)
            np.random.rand()
            return {"NoC": 1.0}

        run(tmp_path, validate_every=1, validate=busy)
        assert_identical(tmp_path, whole)


def learning_rate_of(step):
    return 5e-3 * (0.5, 1.0, 1.0, 0.5)[step]


class TestLearningRate:
    def test_cosine(self, settings):
        args = settings(steps=110, warmup=10, lr=2.0)
        rates = [learning_rate(args, step) for step in range(110)]
        assert rates[:10] == pytest.approx([0.2 * (k + 1) for k in range(10)])
        assert rates[10] == 2.0
        assert rates[60] == pytest.approx(1.0)
        assert rates[10:] == sorted(rates[10:], reverse=True)
        assert 0 < rates[-1] < 1e-3

    def test_the_papers_steps(self, settings):
        args = settings(steps=550, warmup=0, schedule="steps", lr=5e-5)
        assert [learning_rate(args, step) for step in (0, 499, 500, 549)] == [5e-5, 5e-5, 5e-6, 5e-6]

    @pytest.mark.parametrize("schedule", ["cosine", "steps"])
    def test_a_run_of_warm_up_alone(self, settings, schedule):
        args = settings(steps=3, warmup=5, schedule=schedule, lr=1.0)
        assert [learning_rate(args, step) for step in range(3)] == pytest.approx([0.2, 0.4, 0.6])


class Ticks(Quiet):
    """A clock that only steps of training move, and a bar that keeps what it is told."""

    def __init__(self, monkeypatch, each, stop=None):
        self.stop, self.now, self.ends, self.done, self.notes = stop, 0.0, [], 0, []
        train = loop._Run.train

        def timed(run, batches, waited):
            self.now += each
            return train(run, batches, waited)

        monkeypatch.setattr(loop._Run, "train", timed)
        for module in (loop, plan):
            monkeypatch.setattr(module, "time", self)

    def monotonic(self):
        return self.now

    def expect(self, total):
        self.ends.append(total)

    def note(self, text):
        self.notes.append(text)

    def advance(self, text=""):
        self.done += 1
        if self.done == self.stop:
            raise KeyboardInterrupt


class TestByTheClock:
    @pytest.fixture(autouse=True)
    def few(self, monkeypatch):
        monkeypatch.setattr(plan, "LEAST", 2)

    def test_steps_are_planned_anew_and_the_last_one_is_validated(self, run, tmp_path, monkeypatch):
        seen = []
        ticks = Ticks(monkeypatch, 2.0)
        result = run(
            tmp_path, steps=50, seconds=13.0, progress=ticks, validate_every=0,
            validate=lambda model, step: seen.append(step) or {"score": 1.0},
        )  # fmt: skip
        assert result.steps == 7  # the first one starts the clock
        assert seen == [7]
        assert ticks.ends[-1] == 7
        lines = [line for line in metrics(tmp_path) if "loss" in line]
        assert [line["planned"] >= line["step"] for line in lines] == [True] * 7
        assert lines[-1]["lr"] < 0.3 * max(line["lr"] for line in lines)

    def test_warm_up_fits_the_steps_that_there_are(self, run, tmp_path, monkeypatch):
        run(tmp_path, steps=50, warmup=30, seconds=40.0, progress=Ticks(monkeypatch, 2.0))
        rates = [line["lr"] for line in metrics(tmp_path) if "loss" in line]
        assert len(rates) == 21
        assert rates[10:] == sorted(rates[10:], reverse=True)
        assert max(rates) > 4e-3

    def test_a_stopped_run_goes_on_with_its_plan_and_what_is_left_of_the_time(self, run, tmp_path, monkeypatch):
        asked = {"steps": 50, "seconds": 13.0}
        with monkeypatch.context() as patch:
            ticks = Ticks(patch, 2.0, stop=4)
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path, progress=ticks, **asked)
        saved = torch.load(tmp_path / STATE, weights_only=True)
        assert (saved["step"], saved["planned"], saved["spent"]) == (4, ticks.ends[-1], pytest.approx(6.0))
        again = Ticks(monkeypatch, 2.0)
        assert run(tmp_path, progress=again, **asked).steps in (8, 9)  # each session's first step is not timed
        assert again.notes == []

    def test_several_processes_are_refused(self, run, tmp_path):
        with pytest.raises(TrainingError, match="2 processes cannot train by the clock"):
            run(tmp_path, seconds=9.0, fabric=SimpleNamespace(world_size=2))


def test_the_bar_shows_the_loss_and_the_seconds_a_step(run, tmp_path):
    bar = Notes()
    result = run(tmp_path, progress=bar)
    assert [text.split(",")[0] for text in bar.texts] == [f"loss {loss:.3f}" for loss in result.losses]
    assert all(re.fullmatch(r".*, \d+\.\d\d s a step", text) for text in bar.texts)


class TestResult:
    def test_the_folder_answers_clicks_as_the_averaged_weights_do(self, run, make_model, tmp_path, drawn):
        from clickgrain.models.registry import engine_for

        run(tmp_path)
        averaged = make_model()
        averaged.load_state_dict(torch.load(tmp_path / STATE, weights_only=True)["average"])
        image = drawn(9)
        answers = []
        for segmenter in (Segmenter.load(tmp_path), Segmenter(engine_for(averaged))):
            segmenter.set_image(image)
            answers.append(segmenter.predict([[40, 30], [5, 60]], [1, 0]).probability)
        assert np.abs(answers[0] - answers[1]).max() < 5e-3
        assert load_file(tmp_path / "model.safetensors")["decoder.head.weight"].dtype == torch.float16

    def test_twenty_steps_on_one_batch_lower_its_loss_by_a_third(self, run, monkeypatch, tmp_path):
        """The same two crops and clicks at every step: a loop that learns must get them nearly right."""
        make = loop.make_batch

        def always_the_first(*arguments, step, **named):
            batch = make(*arguments, step=0, **named)
            return replace(batch, rounds=[1] * len(batch.prompts))

        monkeypatch.setattr(loop, "make_batch", always_the_first)
        result = run(tmp_path, pictures=range(4), steps=20, lr=1e-2, data={"color": 0.0})
        assert np.mean(result.losses[-3:]) < 0.67 * result.losses[0]

    def test_weights_stay_where_the_rate_is_nothing(self, run, make_model, tmp_path):
        model = make_model()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        run(tmp_path, model=model, lr=1e-12, weight_decay=0.0)
        assert all(torch.allclose(value, before[name], atol=1e-9) for name, value in model.state_dict().items())

    def test_decay_falls_on_matrices_alone(self, run, make_model, tmp_path, monkeypatch):
        model, made, adamw = make_model(), [], torch.optim.AdamW
        monkeypatch.setattr(
            torch.optim, "AdamW", lambda groups, **rest: made.append(groups) or adamw(groups, **rest)
        )
        run(tmp_path, model=model, steps=1, weight_decay=0.1)
        matrices, vectors = made[0]
        assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.1, 0.0)
        assert all(p.ndim > 1 for p in matrices["params"])
        assert all(p.ndim <= 1 for p in vectors["params"])
        assert len(matrices["params"]) + len(vectors["params"]) == len(list(model.parameters()))

    def test_the_losses_are_those_of_the_stored_run(self, run, tmp_path):
        """Six seeded steps; small differences between machines pass, another algorithm does not.

        When the algorithm changes on purpose, write the new losses into the file and say why in the commit.
        """
        result = run(tmp_path, steps=6)
        stored = json.loads(GOLDEN.read_text())
        np.testing.assert_allclose(result.losses, stored["losses"], rtol=stored["tolerance"])
