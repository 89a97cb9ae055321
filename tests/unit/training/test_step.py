"""One training step: jitter, targets on edges, corrective clicks, a loss that everything learns from."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from clickgrain.clicks.config import ClickSimulation
from clickgrain.clicks.maps import ClickMaps
from clickgrain.clicks.simulation import corrective_click
from clickgrain.models.base import ClickModel, Decoded
from clickgrain.models.config import LossWeights
from clickgrain.training.samples import make_batch
from clickgrain.training.step import ClickStep, jitter


@pytest.fixture(scope="module")
def batch_of(mixed):
    """(crops, batch) of a step."""

    def make(args, step=0, rounds=None):
        batch = make_batch(mixed, range(7), args.data, args.clicks, seed=args.seed, step=step, count=args.batch)
        if rounds is not None:
            batch = replace(batch, rounds=[rounds] * len(batch.prompts) if isinstance(rounds, int) else rounds)
        return mixed.crops(batch.images, batch.matrices, args.data.crop), batch

    return make


class Watched(ClickModel):
    """Notes what it is shown; answers with the same logits every time."""

    def __init__(self, config, logits):
        super().__init__()
        self.config, self.map_spec, self.logits = config, config.map_spec, logits
        self.weight = nn.Parameter(torch.ones(()))
        self.seen, self.with_grad = [], []

    def encode(self, images):
        return (images,)

    def decode(self, encoded, maps):
        self.seen.append(maps.clone())
        self.with_grad.append(torch.is_grad_enabled())
        return Decoded(self.weight * self.logits[: len(maps)], torch.full((len(maps),), 0.5))


def _shares_of(step, draw):
    """The shares that a step draws, as if it were another one."""
    real = type(step)._shares
    return lambda batch: real(step, replace(batch, step=1000 + draw))


class TestLoss:
    def test_it_is_finite_and_every_weight_learns(self, make_model, settings, batch_of):
        args = settings(batch=3)
        model = make_model()
        touched = {name: False for name, _ in model.named_parameters()}
        for step in range(3):
            model.zero_grad()
            loss, parts = ClickStep(model, args)(*batch_of(args, step))
            assert torch.isfinite(loss)
            assert loss.shape == ()
            assert set(parts) == {"bce", "dice", "iou"}
            loss.backward()
            for name, p in model.named_parameters():
                assert p.grad is not None, name
                touched[name] |= bool(p.grad.abs().sum() > 0)
            with torch.no_grad():  # the head starts at zero and hides what lies behind it from the first gradient
                for p in model.parameters():
                    p += 0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(step))
        assert all(touched.values()), [name for name, done in touched.items() if not done]

    def test_bfloat16_gives_nearly_the_same(self, make_model, settings, batch_of):
        args = settings()
        step = ClickStep(make_model(), args)
        crops, batch = batch_of(args, rounds=0)
        exact, _ = step(crops, batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded, _ = step(crops, batch)
        assert rounded.dtype == torch.float32
        torch.testing.assert_close(rounded, exact, rtol=0.03, atol=0.01)

    @pytest.mark.parametrize(("supervise", "grads"), [("all", [True, True, True]), ("last", [False, False, True])])
    def test_which_clicks_are_supervised(self, tiny_config, settings, batch_of, supervise, grads):
        args = settings(supervise=supervise)
        model = Watched(tiny_config, torch.zeros(4, 1, 32, 32))
        loss, _ = ClickStep(model, args)(*batch_of(args, rounds=2))
        assert model.with_grad == grads
        loss.backward()
        assert model.weight.grad is not None

    def test_two_random_clicks_stand_for_all(self, tiny_config, settings, batch_of):
        """Each of a prompt's clicks is chosen equally often; those after the last chosen one are never answered."""
        args = settings()
        step, counted = ClickStep(Watched(tiny_config, torch.zeros(4, 1, 32, 32)), args), np.zeros((4, 6))
        for number in range(400):
            batch = replace(batch_of(args)[1], step=number, rounds=[0, 1, 2, 5])
            shares = step._shares(batch)
            assert (shares > 0).sum(1).tolist() == [1, 2, 2, 2]
            np.testing.assert_allclose(shares.sum(1), 1)
            counted += shares
        for row, rounds in enumerate([0, 1, 2, 5]):
            np.testing.assert_allclose(counted[row, : rounds + 1] / 400, 1 / (rounds + 1), atol=0.06)
            assert not counted[row, rounds + 1 :].any()

    def test_nothing_is_answered_after_the_last_supervised_click(
        self, tiny_config, settings, batch_of, monkeypatch
    ):
        args = settings()
        model = Watched(tiny_config, torch.zeros(4, 1, 32, 32))
        step = ClickStep(model, args)
        shares = np.array([[0.5, 0.5, 0, 0], [0, 0.5, 0, 0.5], [1, 0, 0, 0], [0, 0, 1, 0]], np.float32)
        monkeypatch.setattr(step, "_shares", lambda batch: shares)
        step(*batch_of(args, rounds=[3, 3, 0, 2]))
        answered = [(len(maps), grad) for maps, grad in zip(model.seen, model.with_grad)]
        assert answered == [(2, True), (2, False), (2, True), (1, False), (1, True), (1, False), (1, True)]

    def test_two_clicks_give_the_gradient_of_all_on_average(self, make_model, settings, batch_of):
        """The mean gradient over many draws of two clicks approaches that of all clicks."""
        model = make_model()
        gradients = {}
        for supervise, draws in (("all", 1), ("two", 60)):
            step, total = ClickStep(model, settings({"crop": 32}, supervise=supervise)), 0.0
            crops, batch = batch_of(step.args, rounds=[0, 2, 3, 3])
            for draw in range(draws):
                model.zero_grad()
                step._shares = _shares_of(step, draw)
                step(crops, batch)[0].backward()
                total = total + torch.cat([p.grad.flatten() for p in model.parameters()]) / draws
            gradients[supervise] = total
        both = torch.nn.functional.cosine_similarity(gradients["two"], gradients["all"], 0)
        assert both > 0.99
        assert gradients["two"].norm().item() == pytest.approx(gradients["all"].norm().item(), rel=0.05)

    @pytest.mark.parametrize("supervise", ["two", "all"])
    def test_the_logged_parts_are_those_of_the_loss(self, make_model, settings, batch_of, supervise):
        weights = LossWeights(bce=1, dice=0.5, smoothness=0, iou=0.2)
        args = settings(batch=3, losses=weights, supervise=supervise)
        loss, parts = ClickStep(make_model(), args)(*batch_of(args, rounds=[0, 1, 2, 3, 3, 0]))
        wanted = sum(weights.terms()[name] * part for name, part in parts.items())
        assert loss.item() == pytest.approx(float(wanted), rel=1e-5)

    def test_the_loss_is_the_mean_over_supervised_clicks(self, tiny_config, settings, batch_of):
        """Constant answers: every click costs the same, so their number must not matter."""
        losses = []
        for rounds in (0, 3):
            args = settings()
            step = ClickStep(Watched(tiny_config, torch.full((4, 1, 32, 32), 0.3)), args)
            losses.append(step(*batch_of(args, rounds=rounds))[0].item())
        assert losses[0] == pytest.approx(losses[1], rel=1e-6)

    def test_losses_follow_their_weights(self, make_model, settings, batch_of):
        args = settings(losses=LossWeights(bce=1, smoothness=0, dice=2.0))
        loss, parts = ClickStep(make_model(), args)(*batch_of(args, rounds=0))
        assert set(parts) == {"bce", "dice"}
        assert loss.item() == pytest.approx((parts["bce"] + 2 * parts["dice"]).item(), rel=1e-5)

    def test_pixels_beside_the_picture_do_not_count(self, tiny_config, settings, batch_of):
        args = settings({"window": (1.6, 1.6)}, losses=LossWeights(smoothness=0.0))
        crops, batch = batch_of(args, rounds=0)
        beside = torch.nn.functional.interpolate(batch.valid, (32, 32), mode="area")[batch.index] == 0
        assert beside.any()
        wrong = torch.where(beside, 50.0, 0.0)
        expected = ClickStep(Watched(tiny_config, torch.zeros(4, 1, 32, 32)), args)(crops, batch)[0]
        assert ClickStep(Watched(tiny_config, wrong), args)(crops, batch)[0].item() == pytest.approx(
            expected.item()
        )


class TestCorrectiveClicks:
    def test_every_round_adds_a_click_where_the_answer_is_wrong(self, tiny_config, settings, batch_of, monkeypatch):
        """The model says object in the left half: new clicks must lie in the difference to the target."""
        args = settings(batch=3, clicks=ClickSimulation.paper(), supervise="all")
        logits = torch.full((6, 1, 32, 32), -4.0)
        logits[..., :16] = 4.0
        model = Watched(tiny_config, logits)
        calls = []
        draw = ClickMaps.draw

        def noted(self, rows, prompts, previous=None):
            calls.append((list(prompts), previous))
            draw(self, rows, prompts, previous)

        monkeypatch.setattr(ClickMaps, "draw", noted)
        crops, batch = batch_of(args, rounds=3)
        ClickStep(model, args)(crops, batch)
        assert not calls[0][1].any()
        wanted = torch.nn.functional.interpolate(batch.masks, (32, 32), mode="area")[:, 0].numpy() > 0.5
        shown = logits[:, 0].numpy() > 0
        for before, after in pairwise(calls):
            torch.testing.assert_close(after[1], logits.sigmoid())
            for i, (old, new) in enumerate(zip(before[0], after[0])):
                assert len(new.points) == len(old.points) + 1
                np.testing.assert_array_equal(new.points[:-1], old.points)
                # map pixel (x, y) covers crop pixels 2x .. 2x + 1
                x, y = ((new.points[-1] + 0.5) / 2 - 0.5).round().astype(int)
                assert wanted[i, y, x] != shown[i, y, x]
                assert new.labels[-1] == wanted[i, y, x]

    def test_they_are_functions_of_seed_step_turn_and_number(self, tiny_config, settings, batch_of):
        args = settings(batch=2, supervise="all")
        logits = torch.zeros(4, 1, 32, 32) - 1
        last = []
        for _ in range(2):
            model = Watched(tiny_config, logits)
            torch.manual_seed(len(last))
            ClickStep(model, args)(*batch_of(args, rounds=2))
            last.append(torch.stack(model.seen))
        assert torch.equal(*last)

    def test_another_processs_crops_get_other_randomness(self, tiny_config, settings, batch_of):
        """Crops 2 and 3 of a step, in the second process, are not jittered and clicked as crops 0 and 1."""
        args = settings(batch=2, supervise="all")
        crops, batch = batch_of(args, rounds=2)
        seen = []
        for first in (0, 2):
            model = Watched(tiny_config, torch.zeros(4, 1, 32, 32) - 1)
            ClickStep(model, args)(crops, replace(batch, first=first))
            seen.append(model.seen)
        names = tiny_config.maps
        for changed, turn in (("color+", 0), ("disk+", 1)):
            k = names.index(changed)
            assert not torch.equal(seen[0][turn][:, k], seen[1][turn][:, k])

    def test_a_perfect_answer_gets_no_click(self, tiny_config, settings, batch_of):
        args = settings({"color": 0.0})
        crops, batch = batch_of(args, rounds=1)
        step = ClickStep(Watched(tiny_config, None), args)
        scene = step._scene(crops, batch)
        scene.shown = (scene.targets > 0.5).float()
        step._correct(batch, scene, [0, 1, 2, 3], 0)
        assert scene.prompts == batch.prompts

    def test_clicks_are_the_simulations(self, tiny_config, settings, batch_of):
        args = settings(seed=3)
        crops, batch = batch_of(args, rounds=1)
        step = ClickStep(Watched(tiny_config, torch.zeros(4, 1, 32, 32)), args)
        scene, share = step._scene(crops, batch), args.clicks.share_centre_corrective
        wanted, seen = (t[:, 0].numpy() > 0.5 for t in (scene.targets, scene.valid))
        step._correct(batch, scene, [0, 1, 3], 2)
        assert scene.prompts[2] == batch.prompts[2]
        for i in (0, 1, 3):
            rng = np.random.default_rng([3, 5, batch.step, 2, i])
            nothing = np.zeros((32, 32), bool)
            x, y, label = corrective_click(wanted[i], nothing, rng, share_centre=share, valid=seen[i])
            prompt = scene.prompts[i]
            assert prompt.points[-1].tolist() == [2 * x + 0.5, 2 * y + 0.5]
            assert prompt.labels[-1] == label == 1

    @pytest.mark.parametrize("obeys", [True, False])
    def test_users_see_what_masks_show(self, tiny_config, settings, batch_of, monkeypatch, obeys):
        """The network ignores a click; its engine's mask covers it, so the user clicks elsewhere."""
        args = settings({"color": 0.0})
        crops, batch = batch_of(args, rounds=1)
        disobeyed = [replace(p, points=p.points[:1], labels=p.labels[:1]) for p in batch.prompts]
        step = ClickStep(Watched(tiny_config, None), args)
        step.model.obeys = obeys
        scene = step._scene(crops, replace(batch, prompts=disobeyed))
        shown = []
        monkeypatch.setattr(
            "clickgrain.training.step.corrective_click", lambda target, seen, *_, **named: shown.append(seen.copy())
        )
        step._correct(batch, scene, [0, 1, 2, 3], 0)
        for prompt, seen in zip(disobeyed, shown):
            x, y = ((prompt.points[0] + 0.5) / 2 - 0.5).round().astype(int)
            assert (seen[y, x] > 0.5) == obeys
            assert np.count_nonzero(seen > 0.5) <= 9
            assert not scene.shown.any()  # the network starts from its own answer

    def test_dropout_is_on_only_where_something_is_learned(self, tiny_config, settings, batch_of):
        args = settings(supervise="last")
        model, seen = Watched(tiny_config, torch.zeros(4, 1, 32, 32)), []
        model.drop = nn.Dropout2d(0.5)
        model.drop.register_forward_hook(lambda module, *_: seen.append(module.training))
        decode = model.decode
        model.decode = lambda encoded, maps: (model.drop(maps), decode(encoded, maps))[1]
        step = ClickStep(model, args)
        for training, wanted in ((True, [False, False, True]), (False, [False, False, False])):
            step.train(training)
            step(*batch_of(args, rounds=2))
            assert seen == wanted
            seen.clear()


class TestKept:
    """The loss on pixels that were right before a click and are wrong after it."""

    def loss(self, config, args, crops, batch, answers):
        """Of a model that gives one answer after the other."""
        model, turns = Watched(config, None), iter(answers)

        def decode(encoded, maps):
            model.logits = next(turns)
            return Watched.decode(model, encoded, maps)

        model.decode = decode
        return ClickStep(model, args)(crops, batch)[1]

    def test_what_a_click_destroys_costs_more_than_what_was_never_right(self, tiny_config, settings, batch_of):
        args = settings({"color": 0.0}, losses=LossWeights(bce=1, smoothness=0, kept=1), supervise="last")
        crops, batch = batch_of(args, rounds=1)
        targets = ClickStep(Watched(tiny_config, None), args)._scene(crops, batch).targets
        good, wrong = 8 * (2 * (targets > 0.5).float() - 1), torch.full_like(targets, -8.0)
        destroyed, never, repaired = (
            self.loss(tiny_config, args, crops, batch, answers)
            for answers in ((good, wrong), (wrong, wrong), (wrong, good))
        )
        assert destroyed["bce"] == never["bce"]
        assert destroyed["kept"] > 0.1
        assert destroyed["kept"].item() == pytest.approx(destroyed["bce"].item(), rel=0.2)
        assert never["kept"] == repaired["kept"] == 0

    def test_a_first_answer_has_nothing_to_keep_unless_it_is_given(self, tiny_config, settings, batch_of):
        args = settings({"color": 0.0}, losses=LossWeights(bce=1, smoothness=0, kept=1))
        crops, batch = batch_of(args, rounds=0)
        wrong = torch.full((4, 1, 32, 32), -8.0)
        assert self.loss(tiny_config, args, crops, batch, [wrong])["kept"] == 0
        given = replace(batch, before=batch.masks.clone())
        assert self.loss(tiny_config, args, crops, given, [wrong])["kept"] > 0.1


class TestJitter:
    @pytest.fixture
    def images(self):
        return 255 * torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    def test_none_changes_nothing(self, images):
        assert jitter(images, 0.0, np.random.default_rng(0)) is images

    @pytest.mark.parametrize("strength", [0.2, 1.0, 3.0])
    def test_the_range_stays(self, images, strength):
        changed = jitter(images, strength, np.random.default_rng(0))
        assert changed.min() >= 0
        assert changed.max() <= 255
        assert (changed - images).abs().amax((1, 2, 3)).min() > 1

    def test_the_generator_decides(self, images):
        one, two, three = (jitter(images, 0.3, np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert torch.equal(one, two)
        assert not torch.equal(one, three)

    def test_every_image_changes_in_its_own_way(self, images):
        same = images[:1].expand(8, -1, -1, -1)
        changed = jitter(same, 0.3, np.random.default_rng(0))
        assert len({image.numpy().tobytes() for image in changed}) == 8

    def test_against_numpy(self, images):
        """Saturation about the grey value, contrast about the mean grey value, brightness on top."""
        changed = jitter(images, 0.2, np.random.default_rng(5)).numpy()
        rng = np.random.default_rng(5)
        s, c, b = rng.uniform(-0.2, 0.2, (3, 8))
        colorless = rng.random(8) < 0.05
        for i, image in enumerate(images.numpy().astype(float)):
            grey = np.tensordot([0.299, 0.587, 0.114], image, 1)
            factor = 0.0 if colorless[i] else 1 + 1.5 * s[i]
            mixed = grey + (image - grey) * factor
            expected = (mixed - grey.mean()) * (1 + c[i]) + grey.mean() + 127.5 * b[i]
            np.testing.assert_allclose(changed[i], expected.clip(0, 255), atol=1e-2)

    def test_some_turn_grey(self):
        images = 255 * torch.rand(400, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        changed = jitter(images, 0.1, np.random.default_rng(0))
        grey = ((changed.amax(1) - changed.amin(1)).amax((1, 2)) < 0.1).sum()
        assert 8 <= grey <= 35
