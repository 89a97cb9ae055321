import json
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import clickgrain as cg
from clickgrain.cut import cut_mask, in_one_piece
from clickgrain.errors import ImageError, PromptError, WeightsError
from clickgrain.features.config import EncoderConfig
from clickgrain.models.config import GrainConfig, PaperConfig
from clickgrain.models.grain import GrainModel
from clickgrain.models.grain_engine import GrainEngine
from clickgrain.models.paper import PaperModel
from clickgrain.models.paper_engine import PaperEngine
from clickgrain.models.tree_mode import TreeEngine
from clickgrain.segmenter import MOST_IN_TURN, Segmenter
from clickgrain.types import Mask, Predictor, Prompt, Scribble
from clickgrain.weights import save_model

SIZE = (50, 70)
KINDS = ("tree", "grain", "paper")
POINTS, LABELS = [[20, 30], [60, 10]], [1, 0]


def save(folder, kind):
    """A tiny model with random weights, saved as training saves it."""
    torch.manual_seed(0)
    if kind == "grain":
        config = GrainConfig(EncoderConfig((4, 6, 8, 10, 12), (1, 1, 1, 1, 1)), (4, 6, 8, 10), long_side=64)
        model = GrainModel(config)
    else:
        config = PaperConfig(image_size=32, patch_size=8, dim=24, depth=2, heads=2, head_channels=16)
        model = PaperModel(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator))
    save_model(folder, config=config.to_json(), tensors=model.state_dict())
    return model


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for kind in ("grain", "paper"):
        save(folder / kind, kind)
    return {"tree": "tree", "grain": folder / "grain", "paper": folder / "paper"}


@pytest.fixture(scope="module")
def segmenters(folders):
    return {kind: Segmenter.load(source) for kind, source in folders.items()}


@pytest.fixture(params=KINDS)
def seg(request, segmenters):
    return segmenters[request.param]


def photo(seed=0, size=SIZE):
    rng = np.random.default_rng(seed)
    rows, columns = np.arange(size[0]) * 6 // size[0], np.arange(size[1]) * 8 // size[1]
    return rng.integers(0, 200, (6, 8, 3), np.uint8)[rows][:, columns] + rng.integers(0, 50, (*size, 3), np.uint8)


def test_names_and_folders_give_their_engines(segmenters, folders):
    engines = {"tree": TreeEngine, "grain": GrainEngine, "paper": PaperEngine}
    for kind, seg in segmenters.items():
        assert isinstance(seg.engine, engines[kind])
        assert isinstance(seg, Predictor)
        assert seg.name == str(folders[kind])


def test_it_is_what_the_package_offers():
    assert cg.Segmenter is Segmenter


def test_loaded_weights_are_the_saved_ones(tmp_path, segmenters):
    model = save(tmp_path / "again", "grain")
    for key, value in segmenters["grain"].engine.network.model.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[key], rtol=0, atol=0)


def test_an_answer_has_the_images_size(seg):
    seg.set_image(photo())
    mask = seg.predict(POINTS, LABELS)
    assert mask.probability.shape == SIZE
    assert mask.probability.dtype == np.float32
    assert mask.probability.min() >= 0
    assert mask.probability.max() <= 1
    assert mask.binary.shape == SIZE
    assert mask.binary.dtype == bool
    assert 0 <= mask.score <= 1


def test_points_may_be_lists_tuples_or_arrays(seg):
    encoded = seg.encode(photo())
    plain = seg.predict(POINTS, LABELS, encoded=encoded).probability
    for points, labels in (
        (np.array(POINTS), np.array(LABELS, bool)),
        (np.array(POINTS, np.float64), np.array(LABELS, np.float32)),
        (tuple(map(tuple, POINTS)), tuple(LABELS)),
    ):
        np.testing.assert_array_equal(seg.predict(points, labels, encoded=encoded).probability, plain)


def test_predict_before_any_image_is_refused(folders):
    with pytest.raises(PromptError, match="set_image"):
        Segmenter.load("tree").predict(POINTS, LABELS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": [[70, 10]], "labels": [1]}, r"point \(70, 10\) is outside the image of 70 x 50"),
        ({"points": [[10, -1]], "labels": [1]}, "outside"),
        ({"points": [[np.nan, 1]], "labels": [1]}, "outside"),
        ({"points": [[1, 1]], "labels": [2]}, "label .*2"),
        ({"points": [[1, 1]], "labels": [1, 0]}, "1 points but 2 labels"),
        ({"points": [1, 1], "labels": [1]}, "shape"),
        ({"points": None, "labels": None}, "empty"),
        ({"points": [], "labels": [], "box": [5, 5, 5, 9]}, "box"),
        ({"points": [], "labels": [], "box": [5, 5, 90, 9]}, "box"),
        ({"points": [[1, 1]], "labels": [1], "level": 1.5}, "level 1.5"),
        ({"points": [[1, 1]], "labels": [1], "level": float("nan")}, "level nan"),
        ({"points": [[1, 1]], "labels": [1], "previous": np.zeros((70, 50))}, "previous mask"),
        ({"points": [[1, 1]], "labels": [1], "previous": np.full(SIZE, 1.5)}, "outside 0..1"),
        ({"points": [[1, 1]], "labels": [1], "previous": np.full(SIZE, np.nan)}, "outside 0..1"),
        ({"points": None, "labels": None, "scribbles": [Scribble(np.array([[1, 1], [80, 1]]))]}, "outside"),
    ],
)
def test_bad_prompts_are_refused(seg, arguments, message):
    encoded = seg.encode(photo())
    with pytest.raises(PromptError, match=message):
        seg.predict(**arguments, encoded=encoded)


@pytest.mark.parametrize("kind", ["grain", "paper"])
def test_a_mask_of_another_image_is_refused(segmenters, kind):
    seg = segmenters[kind]
    other = seg.predict([[1, 1]], [1], encoded=seg.encode(photo(size=(70, 50))))
    with pytest.raises(PromptError, match="previous mask is 70 x 50, the image 50 x 70"):
        seg.predict([[1, 1]], [1], previous=other, encoded=seg.encode(photo()))


@pytest.mark.parametrize("image", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((0, 5, 3), np.uint8)])
def test_what_is_no_image_is_refused_and_the_last_one_stays(seg, image):
    seg.set_image(photo())
    with pytest.raises(ImageError):
        seg.set_image(image)
    assert seg.predict([[1, 1]], [1]).probability.shape == SIZE


def test_encoded_images_need_no_current_one_and_leave_it_alone(seg):
    first, second = photo(0), photo(1, (40, 60))
    seg.set_image(first)
    before = seg.predict([[20, 30]], [1]).probability
    inner = seg.predict([[20, 30]], [1], encoded=seg.encode(second)).probability
    assert inner.shape == (40, 60)
    np.testing.assert_array_equal(seg.predict([[20, 30]], [1]).probability, before)


def test_an_encoded_image_outlives_changes_to_the_array(seg):
    image = photo()
    expected = seg.predict(POINTS, LABELS, encoded=seg.encode(image)).probability
    encoded = seg.encode(image)
    mask = seg.predict(POINTS, LABELS, encoded=encoded)  # not rendered yet
    image[:] = 255 - image
    np.testing.assert_array_equal(mask.probability, expected)
    np.testing.assert_array_equal(seg.predict(POINTS, LABELS, encoded=encoded).probability, expected)


def test_frozen_mirrored_and_tiny_images(seg):
    image = photo()
    frozen, mirrored = image.copy(), image[:, ::-1].copy()[:, ::-1]
    frozen.setflags(write=False)
    plain = seg.predict(POINTS, LABELS, encoded=seg.encode(image)).probability
    for array in (frozen, mirrored):
        np.testing.assert_array_equal(seg.predict(POINTS, LABELS, encoded=seg.encode(array)).probability, plain)
    for size in ((1, 1), (1, 40), (40, 1)):
        mask = seg.predict([[0, 0]], [1], encoded=seg.encode(photo(size=size)))
        assert mask.probability.shape == size


def test_the_previous_answer_as_mask_and_as_array(segmenters):
    for kind in ("grain", "paper"):
        seg = segmenters[kind]
        seg.set_image(photo(size=(300, 400)))
        first = seg.predict([[220, 230]], [1])
        alone = seg.predict([[120, 130]], [1]).probability
        as_mask = seg.predict([[120, 130]], [1], previous=first)
        as_array = seg.predict([[120, 130]], [1], previous=first.probability)
        assert np.abs(as_mask.probability - alone).max() > 1e-5
        assert np.abs(as_array.probability - alone).max() > 1e-5


def test_the_previous_mask_may_be_boolean_and_is_not_changed(seg):
    encoded = seg.encode(photo())
    before = np.zeros(SIZE, bool)
    before[10:40, 10:50] = True
    kept = before.copy()
    as_bool = seg.predict(POINTS, LABELS, previous=before, encoded=encoded).probability
    as_float = seg.predict(POINTS, LABELS, previous=before.astype(np.float32), encoded=encoded).probability
    as_mask = seg.predict(POINTS, LABELS, previous=Mask(before.astype(np.float32)), encoded=encoded).probability
    np.testing.assert_array_equal(as_bool, as_float)
    np.testing.assert_array_equal(as_bool, as_mask)
    np.testing.assert_array_equal(before, kept)


def test_alternatives(segmenters):
    for kind, some in (("tree", True), ("grain", True), ("paper", False)):
        segmenters[kind].set_image(photo())
        mask = segmenters[kind].predict([[20, 30]], [1])
        assert bool(mask.alternatives) == some
        assert all(other.probability.shape == SIZE for other in mask.alternatives)


def test_level_asks_for_coarser_and_finer(segmenters):
    seg = segmenters["tree"]
    seg.set_image(photo())
    areas = [seg.predict([[20, 30]], [1], level=level).binary.sum() for level in (0.3, 0.7, 1.0)]
    assert areas[0] < areas[1] < areas[2]
    assert areas[2] == SIZE[0] * SIZE[1]
    segmenters["grain"].set_image(photo())
    low, high = (segmenters["grain"].predict([[20, 30]], [1], level=level) for level in (0.1, 0.9))
    assert np.abs(low.probability - high.probability).max() > 1e-5
    assert (low.level, high.level) == (0.1, 0.9)


def test_boxes_and_scribbles_are_prompts_of_their_own(seg):
    encoded = seg.encode(photo())
    stroke = Scribble(np.array([[10, 10], [40, 12]], np.float32))
    for prompt in ({"box": [10, 10, 60, 40]}, {"scribbles": [stroke]}):
        alone = seg.predict(None, None, **prompt, encoded=encoded)
        assert alone.probability.shape == SIZE
        inside = np.argwhere(alone.probability >= alone.probability.max())[-1]
        with_click = seg.predict([inside[::-1]], [0], **prompt, encoded=encoded)
        assert np.abs(with_click.probability - alone.probability).max() > 1e-5


def test_two_images_and_many_threads_share_one_segmenter(seg):
    images = [photo(0), photo(1, (40, 64))]
    encoded = [seg.encode(image) for image in images]

    def session(i):
        """Three clicks, each going on from the answer before."""
        masks, points = [], [[10, 35], [30, 20], [55, 5]]
        for n in (1, 2, 3):
            last = masks[-1] if masks else None
            masks.append(seg.predict(points[:n], [1, 1, 0][:n], previous=last, encoded=encoded[i % 2]))
        return [mask.probability for mask in masks]

    alone = [session(i) for i in range(2)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(session, range(8)))
    for i, probabilities in enumerate(together):
        for found, expected in zip(probabilities, alone[i % 2], strict=True):
            np.testing.assert_array_equal(found, expected)


def test_unknown_models_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="no such folder"):
        Segmenter.load(tmp_path / "missing")
    save_model(tmp_path / "other", config={"kind": "unet"}, tensors={"a": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"other: .* kind 'unet'"):
        Segmenter.load(tmp_path / "other")


@pytest.mark.parametrize("kind", ["grain", "paper"])
def test_models_that_do_not_fit_are_refused_by_name(tmp_path, kind):
    model = save(tmp_path / kind, kind)
    config = json.loads((tmp_path / kind / "config.json").read_text())
    state = model.state_dict()
    missing = dict(list(state.items())[1:])
    for name, values, tensors in (
        ("unknown-key", {**config, "colour": 3}, state),
        ("bad-value", {**config, "radius": 0.0}, state),
        ("missing-tensor", config, missing),
        ("more-tensors", config, {**state, "extra": torch.zeros(2)}),
    ):
        save_model(tmp_path / name, config=values, tensors=tensors)
        with pytest.raises(WeightsError, match=name):
            Segmenter.load(tmp_path / name)


@pytest.mark.parametrize("tree", ["", "nonsense"])
def test_a_model_on_trees_of_no_extractor_is_refused_by_name(tmp_path, tree):
    model = save(tmp_path / "grain", "grain")
    config = json.loads((tmp_path / "grain" / "config.json").read_text())
    save_model(tmp_path / "copy", config={**config, "tree": tree}, tensors=model.state_dict())
    with pytest.raises(WeightsError, match=r"copy: .*(tree is empty|'nonsense')"):
        Segmenter.load(tmp_path / "copy")
    with pytest.raises(WeightsError, match=r"^there is no folder 'mine'"):  # the caller named it, not the model
        Segmenter.load(tmp_path / "grain", extractor="mine")


def test_the_extractor_behind_the_trees_may_be_chosen(folders):
    seg = Segmenter.load(folders["grain"], extractor=str(folders["grain"]))
    assert seg.engine.extractor.name.startswith("grain-")
    tree = Segmenter.load("tree", extractor=str(folders["grain"]))
    assert tree.engine.extractor.patch_size == 8
    for one in (seg, tree):
        one.set_image(photo())
        assert one.predict([[20, 30]], [1]).probability.shape == SIZE


def test_importing_the_segmenter_loads_no_torch():
    import subprocess

    code = "import sys, clickgrain.segmenter; print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


TURNS = [(10, 12), (40, 30), (60, 8), (22, 41), (35, 20)]


class TestClicksAtOnce:
    @pytest.fixture
    def grain(self, segmenters):
        return segmenters["grain"]

    @pytest.fixture
    def asked(self, grain, monkeypatch):
        """How many clicks every question to the engine holds."""
        counts, real = [], grain.engine.answer
        monkeypatch.setattr(grain.engine, "answer", lambda e, p, m: counts.append(len(p.points)) or real(e, p, m))
        return counts

    @pytest.mark.parametrize("level", [None, 0.6])
    def test_are_answered_as_if_one_after_the_other(self, grain, level):
        image, labels, mask = photo(size=(160, 240)), [1, 1, 0, 1, 0], None
        encoded = grain.encode(image)
        for count in range(1, 6):
            mask = grain.predict(TURNS[:count], labels[:count], level=level, previous=mask, encoded=encoded)
            at_once = grain.predict(TURNS[:count], labels[:count], level=level, encoded=grain.encode(image))
            np.testing.assert_array_equal(at_once.probability, mask.probability)

    def test_what_was_asked_before_does_not_change_the_answer(self, grain):
        encoded = grain.encode(photo())
        for count in (2, 4, 3, 5):
            grain.predict(TURNS[:count], [1] * count, encoded=encoded)
        grain.predict(TURNS[:4], [1, 0, 1, 1], encoded=encoded)
        fresh = grain.predict(TURNS, [1] * 5, encoded=grain.encode(photo()))
        again = grain.predict(TURNS, [1] * 5, encoded=encoded)
        np.testing.assert_array_equal(again.probability, fresh.probability)

    def test_a_known_beginning_costs_nothing(self, grain, asked):
        encoded = grain.encode(photo())
        for count in range(2, 6):
            grain.predict(TURNS[:count], [1] * count, encoded=encoded)
        assert asked == [1, 2, 2, 3, 3, 4, 4, 5]  # each beginning once, and each prompt itself

    def test_dozens_take_a_few_turns(self, grain, asked):
        rng = np.random.default_rng(0)
        points = np.column_stack([rng.integers(0, SIZE[1], 60), rng.integers(0, SIZE[0], 60)])
        grain.predict(points, [1] * 60, encoded=grain.encode(photo()))
        assert len(asked) == 1 + MOST_IN_TURN

    def test_old_beginnings_are_evicted(self, grain, monkeypatch):
        monkeypatch.setattr("clickgrain.segmenter.CACHED_PIXELS", 2 * SIZE[0] * SIZE[1])
        encoded = grain.encode(photo())
        for x in range(10, 40, 5):
            grain.predict([[x, 20], [50, 40]], [1, 1], encoded=encoded)
        assert len(encoded.answered) == 2
        grain.predict(TURNS, [1] * 5, encoded=encoded)
        assert len(encoded.answered) == 2

    def test_from_several_threads(self, grain):
        encoded = grain.encode(photo())
        alone = grain.predict(TURNS, [1] * 5, encoded=grain.encode(photo())).probability
        with ThreadPoolExecutor(4) as pool:
            masks = list(pool.map(lambda n: grain.predict(TURNS[:n], [1] * n, encoded=encoded), [5, 3, 4, 5] * 3))
        np.testing.assert_array_equal(masks[0].probability, alone)
        np.testing.assert_array_equal(masks[-1].probability, alone)


class TestTheCut:
    def test_every_engine_has_it_and_it_can_be_switched_off(self, folders):
        for source in folders.values():
            image = photo(size=(200, 280))
            with_cut, without = (Segmenter.load(source, cut=cut) for cut in (True, False))
            plain = without.predict(POINTS, LABELS, encoded=without.encode(image))
            cut = with_cut.predict(POINTS, LABELS, encoded=with_cut.encode(image))
            assert without.cut is None
            expected = cut_mask(plain.probability, image, Prompt.of(POINTS, LABELS, size=image.shape[:2]))
            if source == folders["grain"]:  # its second click starts from the first one's cut mask
                assert cut.probability.shape == plain.probability.shape
            else:
                np.testing.assert_array_equal(cut.probability, expected)

    def test_the_next_click_starts_from_it(self, segmenters, monkeypatch):
        seg, seen = segmenters["grain"], []
        real = seg.engine.answer
        monkeypatch.setattr(seg.engine, "answer", lambda e, p, m: seen.append(m) or real(e, p, m))
        encoded = seg.encode(photo(size=(200, 280)))
        first = seg.predict(POINTS[:1], LABELS[:1], encoded=encoded)
        seg.predict(POINTS, LABELS, previous=first, encoded=encoded)
        plain = real(encoded.state, Prompt.of(POINTS[:1], LABELS[:1], size=encoded.size), None)
        np.testing.assert_array_equal(seen[1].probability, first.probability)
        assert np.abs(first.probability - plain.probability).max() > 0.01

    def test_a_mask_that_was_looked_at_keeps_no_earlier_one(self, segmenters):
        seg = segmenters["grain"]
        encoded = seg.encode(photo(size=(200, 280)))
        first = seg.predict(POINTS[:1], LABELS[:1], encoded=encoded)
        gone = weakref.ref(first)
        second = seg.predict(POINTS, LABELS, previous=first, encoded=encoded)
        assert second.binary.shape == encoded.size
        del first
        assert gone() is None
        assert len(second.alternatives) == 3

    def test_alternatives_are_cut_too(self, segmenters):
        seg = segmenters["grain"]
        encoded = seg.encode(photo(size=(200, 280)))
        prompt = Prompt.of(POINTS[:1], LABELS[:1], size=encoded.size)
        plain = seg.engine.answer(encoded.state, prompt, None).alternatives
        for cut, bare in zip(seg.predict(POINTS[:1], LABELS[:1], encoded=encoded).alternatives, plain):
            np.testing.assert_array_equal(
                cut.probability, in_one_piece(cut_mask(bare.probability, encoded.image, prompt), prompt.points[0])
            )

    @pytest.mark.parametrize("source", ["tree", "default"])
    def test_a_click_on_a_coin_takes_that_coin_alone(self, source):
        y, x = np.mgrid[:264, :448]
        rng = np.random.default_rng(1)
        image, coins = 70 + rng.normal(0, 5, (264, 448, 3)), []
        for left, top in [(34 + 63 * column, 34 + 65 * row) for row in range(2) for column in range(6)]:
            coins.append((np.hypot(x - left, y - top) < rng.uniform(20, 26), (left, top)))
            image[coins[-1][0]] = rng.uniform(150, 190) + rng.normal(0, 10, (coins[-1][0].sum(), 3))
        seg = Segmenter.load(source)
        encoded = seg.encode(np.clip(image, 0, 255).astype(np.uint8))
        for coin, middle in coins:
            found = seg.predict([middle], [1], encoded=encoded).binary
            assert (found & coin).sum() / (found | coin).sum() > 0.9


class TestLargeChanges:
    """A late correction that changes much gives way to what surrounds its click, if that changes less."""

    BEFORE = np.zeros((160, 240), np.float32)
    BEFORE[40:120, 40:120] = 0.9
    CLICKS = ([60, 60], [100, 60], [60, 100], [100, 100], [80, 80], [170, 80])

    def answer(self, clicks, **around):
        """The answer to the last of some clicks by an engine that takes in a fifth of the image."""
        large, small = self.BEFORE.copy(), self.BEFORE.copy()
        large[20:140, 120:220] = small[70:90, 120:180] = 0.9
        answers = {"answer": lambda *_: Mask(large), "encode": lambda image: None, "one_by_one": False}
        if around:
            answers["answer_around"] = lambda *_: Mask(small) if around["found"] else None
        seg = Segmenter(SimpleNamespace(**answers))
        encoded = seg.encode(np.full((160, 240, 3), 90, np.uint8))
        return seg.predict(clicks, [1] * len(clicks), previous=self.BEFORE, encoded=encoded).binary.sum()

    def test_gives_way(self):
        grown = (self.BEFORE > 0.5).sum()
        assert self.answer(self.CLICKS, found=True) < 1.3 * grown < self.answer(self.CLICKS)

    def test_not_an_early_one(self):
        assert self.answer(self.CLICKS[1:], found=True) == self.answer(self.CLICKS[1:])

    def test_nor_where_nothing_else_was_found(self):
        assert self.answer(self.CLICKS, found=False) == self.answer(self.CLICKS)


class TestLargeImages:
    """Clicks on them are answered at a smaller size, and only the masks are enlarged."""

    SIZE = (120, 160)

    @pytest.fixture(autouse=True)
    def small_limit(self, monkeypatch):
        monkeypatch.setattr("clickgrain.segmenter.MOST_PIXELS", 4800)

    def test_no_engine_sees_more_pixels_than_the_limit(self, seg, monkeypatch):
        seen, real = [], seg.engine.encode
        monkeypatch.setattr(seg.engine, "encode", lambda image: seen.append(image.shape) or real(image))
        for size in (self.SIZE, (4, 2000), (60, 80)):
            encoded = seg.encode(photo(size=size))
            assert encoded.size == size
            assert seg.predict([[1, 1]], [1], encoded=encoded).binary.shape == size
        assert all(height * width <= 4900 for height, width, _ in seen)
        assert seen[2] == (60, 80, 3)

    def test_clicks_are_obeyed_in_full_size(self, segmenters):
        rng = np.random.default_rng(3)
        for kind in ("tree", "grain"):
            encoded = segmenters[kind].encode(photo(size=self.SIZE))
            cells = rng.permutation(48)[:6]  # of 20 pixels, so that clicks are no neighbors
            points = np.stack([cells % 8 * 20 + 10, cells // 8 * 20 + 10], 1) + rng.integers(-5, 6, (6, 2))
            mask = None
            for i in range(1, 7):
                labels = [1, 0, 1, 0, 1, 0][:i]
                mask = segmenters[kind].predict(points[:i], labels, previous=mask, encoded=encoded)
                assert mask.binary[points[:i, 1], points[:i, 0]].tolist() == [bool(label) for label in labels]

    def test_the_next_click_starts_from_the_small_mask(self, segmenters, monkeypatch):
        seg, seen = segmenters["grain"], []
        encoded, real = seg.encode(photo(size=self.SIZE)), seg.engine.answer
        monkeypatch.setattr(seg.engine, "answer", lambda e, p, m: seen.append((p, m)) or real(e, p, m))
        first = seg.predict([[41, 31]], [1], encoded=encoded)
        seg.predict([[41, 31], [121, 91]], [1, 0], previous=first, encoded=encoded)
        seg.predict([[41, 31], [121, 91]], [1, 0], previous=first.probability, encoded=encoded)
        np.testing.assert_allclose(seen[1][0].points, [[20.25, 15.25], [60.25, 45.25]])
        assert seen[1][1].probability.shape == seen[2][1].probability.shape == (60, 80)
        np.testing.assert_allclose(seen[1][1].probability, seen[2][1].probability, atol=0.3)
        with pytest.raises(PromptError, match="50 x 70"):
            seg.predict([[41, 31]], [1], previous=Mask(np.zeros((50, 70), np.float32)), encoded=encoded)

    def test_a_mask_that_the_caller_changed_is_what_the_next_click_starts_from(self, segmenters, monkeypatch):
        seg, seen = segmenters["grain"], []
        encoded, real = seg.encode(photo(size=self.SIZE)), seg.engine.answer
        monkeypatch.setattr(seg.engine, "answer", lambda e, p, m: seen.append(m) or real(e, p, m))
        first = seg.predict([[41, 31]], [1], encoded=encoded).refined(np.zeros_like)
        seg.predict([[41, 31], [121, 91]], [1, 0], previous=first, encoded=encoded)
        assert not seen[1].probability.any()

    def test_what_comes_with_a_mask_has_the_images_size(self, segmenters):
        encoded = segmenters["grain"].encode(photo(size=self.SIZE))
        mask = segmenters["grain"].predict([[41, 31]], [1], encoded=encoded)
        assert [other.binary.shape for other in mask.alternatives] == [self.SIZE] * 3
        assert encoded.tree.image_size == self.SIZE
        assert encoded.tree.grid == encoded.features.shape[:2]

    def test_boxes_and_scribbles_are_scaled(self, segmenters):
        seg = segmenters["tree"]
        encoded = seg.encode(photo(size=self.SIZE))
        assert seg.predict(None, None, box=(0, 0, 160, 120), encoded=encoded).binary.mean() > 0.9
        stroke = Scribble(np.array([[20, 100], [140, 100]], np.float32))
        assert seg.predict(None, None, scribbles=[stroke], encoded=encoded).binary[100, 20:140].mean() > 0.9

    def test_a_mask_is_the_small_one_enlarged(self, segmenters):
        seg = segmenters["tree"]
        image = np.zeros((*self.SIZE, 3), np.uint8)
        image[30:90, 40:120] = (220, 60, 20)
        mask = seg.predict([[80, 60]], [1], encoded=seg.encode(image)).binary
        truth = image[..., 0] > 0
        assert (mask & truth).sum() / (mask | truth).sum() > 0.9


class TestWhatTheUserSees:
    """First clicks on an enlarged image; a square of 10 x 12 pixels on noise, and a bar that leaves the view."""

    VIEW = (40, 30, 100, 80)

    @pytest.fixture
    def image(self):
        image = np.random.default_rng(0).integers(60, 90, (160, 200, 3), np.uint8)
        image[50:60, 62:74] = (250, 240, 60)
        image[70:74, 20:190] = (60, 240, 250)
        return image

    def test_a_first_click_is_answered_from_the_view_alone(self, seg, image):
        seg.set_image(image)
        left, top, right, bottom = self.VIEW
        inner = seg.predict([[28, 25]], [1], encoded=seg.encode(image[top:bottom, left:right]))
        whole = [
            one.probability
            for one in (inner, *inner.alternatives)
            if one.binary.any() and not (one.binary[[0, -1]].any() or one.binary[:, [0, -1]].any())
        ]
        answer = seg.predict([[68, 55]], [1], view=self.VIEW)
        expected = np.zeros(image.shape[:2], np.float32)
        if whole:  # else all that it shows goes on outside
            expected[top:bottom, left:right] = whole[0]
        else:
            expected = seg.predict([[68, 55]], [1]).probability
        assert np.array_equal(answer.probability, expected)

    def test_corrections_are_answered_from_the_view_while_all_lies_in_it(self, segmenters, image):
        seg = segmenters["tree"]
        seg.set_image(image)
        left, top, right, bottom = self.VIEW
        first = seg.predict([[68, 55]], [1], view=self.VIEW)
        points, labels = [[68, 55], [95, 40]], [1, 1]
        part = seg.encode(image[top:bottom, left:right])
        before = Mask(first.probability[top:bottom, left:right])
        inner = seg.predict([[28, 25], [55, 10]], labels, previous=before, encoded=part)
        second = seg.predict(points, labels, previous=first, view=self.VIEW)
        assert np.array_equal(second.probability[top:bottom, left:right], inner.probability)
        assert second.probability.sum() == pytest.approx(inner.probability.sum(), rel=1e-5)
        points, labels = [*points, [150, 20]], [1, 1, 1]  # a click outside
        third, without = (seg.predict(points, labels, previous=second, view=one) for one in (self.VIEW, None))
        assert np.array_equal(third.probability, without.probability)
        reaching = Mask(np.ones(image.shape[:2], np.float32))  # a mask outside
        second, without = (
            seg.predict(points[:2], labels[:2], previous=reaching, view=one) for one in (self.VIEW, None)
        )
        assert np.array_equal(second.probability, without.probability)

    def test_what_the_whole_image_gives_is_the_first_alternative(self, segmenters, image):
        seg = segmenters["tree"]
        seg.set_image(image)
        answer, whole = seg.predict([[68, 55]], [1], view=self.VIEW), seg.predict([[68, 55]], [1])
        found = np.zeros(image.shape[:2], bool)
        found[50:60, 62:74] = True
        assert (answer.binary == found).mean() > 0.995
        assert np.array_equal(answer.alternatives[0].probability, whole.probability)
        assert all(other.probability.shape == image.shape[:2] for other in answer.alternatives)

    @pytest.mark.parametrize(
        ("points", "labels", "view"),
        [
            ([[100, 72]], [1], VIEW),  # a bar that goes on outside
            ([[68, 55]], [1], (0, 0, 161, 100)),  # nearly the whole image
            ([[68, 55]], [1], (60, 50, 80, 62)),  # too little of it
            ([[20, 20]], [1], VIEW),  # a click outside
            ([[68, 55]], [0], VIEW),
        ],
    )
    def test_anything_else_is_answered_from_the_whole_image(self, segmenters, image, points, labels, view):
        seg = segmenters["tree"]
        seg.set_image(image)
        with_view, without = (seg.predict(points, labels, view=one).probability for one in (view, None))
        assert np.array_equal(with_view, without)

    def test_clicks_given_at_once_are_answered_as_one_after_the_other(self, seg, image):
        seg.set_image(image)
        points, labels = [[68, 55], [90, 75]], [1, 0]
        first = seg.predict(points[:1], labels[:1], view=self.VIEW)
        in_turn = seg.predict(points, labels, previous=first, view=self.VIEW)
        if getattr(seg.engine, "one_by_one", False):
            at_once = seg.predict(points, labels, view=self.VIEW)
            assert np.array_equal(at_once.probability, in_turn.probability)
        assert in_turn.probability.shape == image.shape[:2]

    def test_a_view_of_a_shrunk_image_is_in_pixels_of_the_image(self, segmenters, image, monkeypatch):
        seg = segmenters["tree"]
        large = image.repeat(2, 0).repeat(2, 1)
        monkeypatch.setattr("clickgrain.segmenter.MOST_PIXELS", image.shape[0] * image.shape[1])
        seg.set_image(large)
        answer = seg.predict([[137, 111]], [1], view=[2 * side for side in self.VIEW])
        assert answer.binary.shape == large.shape[:2]
        assert answer.binary[100:120, 124:148].mean() > 0.9
        assert not answer.binary[:60].any()

    @pytest.mark.parametrize("view", [(40, 30, 40, 80), (-1, 0, 9, 9), (0, 0, 201, 50), (1, 2, 3), "no"])
    def test_a_view_outside_the_image_is_refused(self, segmenters, image, view):
        segmenters["tree"].set_image(image)
        with pytest.raises(PromptError, match=r"view|could not convert"):
            segmenters["tree"].predict([[68, 55]], [1], view=view)

    def test_the_part_is_encoded_once(self, segmenters, image, monkeypatch):
        seg = segmenters["tree"]
        seg.set_image(image)
        seg.predict([[68, 55]], [1], view=self.VIEW)
        monkeypatch.setattr(seg.engine, "encode", None)
        seg.predict([[66, 53]], [1], view=self.VIEW)

    @pytest.mark.parametrize(
        ("sure", "whole_sure", "larger"), [(0.9, 0.8, True), (0.6, 0.8, False), (0.9, 0.4, False)]
    )
    def test_what_is_surely_cut_off_is_part_of_a_larger_thing(self, image, sure, whole_sure, larger):
        """The view is filled by the answer, and has an alternative within; the whole image has its own answer."""

        class Engine:
            one_by_one = False

            def encode(self, image):
                return image.shape[:2]

            def answer(self, size, prompt, previous):
                small = np.zeros(size, np.float32)
                small[10:20, 10:20] = 1
                if size == image.shape[:2]:
                    return Mask(np.ones(size, np.float32), score=whole_sure)
                return Mask(np.ones(size, np.float32), score=sure, alternatives=lambda: [Mask(small, score=0.5)])

        seg = Segmenter(Engine(), cut=None)
        seg.set_image(image)
        answer = seg.predict([[68, 55]], [1], view=self.VIEW)
        assert answer.binary.sum() == (image[..., 0].size if larger else 100)
        assert answer.binary[40:50, 50:60].all()
        assert [one.score for one in answer.alternatives] == ([] if larger else [whole_sure])
