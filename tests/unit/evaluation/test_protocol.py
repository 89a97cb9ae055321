import numpy as np
import pytest

from clickgrain.clicks.users import NoisyUser
from clickgrain.errors import ConfigError, DataError
from clickgrain.evaluation import Benchmark, evaluate, protocol
from clickgrain.evaluation.protocol import iou
from clickgrain.types import Mask, Predictor

SIZE = (20, 20)


def image(value=0):
    return np.full((*SIZE, 3), value, np.uint8)


def square(top=5, left=5, height=10, width=10):
    mask = np.zeros(SIZE, np.uint8)
    mask[top : top + height, left : left + width] = 255
    return mask


class Scripted:
    """Answers each image with its next mask, the last one for ever; remembers what it was asked."""

    name = "scripted"

    def __init__(self, *scripts):
        self.scripts = scripts
        self.images, self.previous, self.points, self.labels = [], [], [], []

    def set_image(self, image):
        self.images.append(int(image[0, 0, 0]))
        self.step = 0

    def predict(self, points, labels, box=None, scribbles=None, level=None, previous=None):
        script = self.scripts[self.images[-1]]
        answer = script[min(self.step, len(script) - 1)]
        self.step += 1
        self.previous.append(previous)
        self.points.append(points)
        self.labels.append(labels)
        if isinstance(answer, BaseException):
            raise answer
        return Mask(answer.astype(np.float32))


class Disks:
    """Disks of 4 px around positive clicks; pixels nearer to a negative click are left out."""

    def set_image(self, image):
        self.size = image.shape[:2]

    def predict(self, points, labels, box=None, scribbles=None, level=None, previous=None):
        y, x = np.mgrid[: self.size[0], : self.size[1]]
        distance = np.stack([np.hypot(x - cx, y - cy) for cx, cy in points])
        near = (distance.min(0) <= 4) & (labels[distance.argmin(0)] == 1)
        return Mask(near.astype(np.float32))


def benchmark(*masks):
    return Benchmark.of([(image(number), mask) for number, mask in enumerate(masks)], "drawn")


def without_seconds(result):
    return [(row.id, row.image, row.area, row.size, row.ious, row.clicks, row.error) for row in result.rows]


FOUR_STEPS = [square(height=6) > 0, square(width=9) > 0, square(height=11) > 0, square() > 0]
NOTHING = np.zeros(SIZE, bool)


class TestGolden:
    """Computed by hand: IoU 60/100, 90/100, 100/110, 1 with clicks in the middle of each error."""

    def test_one_target(self):
        result = evaluate(Scripted(FOUR_STEPS), benchmark(square()))
        (row,) = result.rows
        assert row.ious == (0.6, 0.9, 100 / 110, 1.0)
        assert row.clicks == ((9, 9, 1), (6, 12, 1), (14, 5, 1), (5, 15, 0))
        assert [result.noc(t) for t in (0.5, 0.6, 0.85, 0.9, 0.95)] == [1, 1, 2, 2, 4]
        assert result.iou_at(1) == 0.6
        assert result.iou_at(20) == 1.0
        assert (row.area, row.size) == (0.25, "large")

    def test_a_target_never_reached_counts_as_twenty(self):
        result = evaluate(Scripted(FOUR_STEPS, [NOTHING]), benchmark(square(), square()))
        assert result.noc(0.85) == (2 + 20) / 2
        assert result.nof(0.9) == (1, 1)
        assert len(result.rows[1].clicks) == 20
        assert result.curves.shape == (2, 20)
        assert result.curves[0, 3:].tolist() == [1.0] * 17

    def test_success_at_the_last_click_is_no_failure_but_noc_is_the_maximum(self):
        result = evaluate(Scripted(FOUR_STEPS), benchmark(square()), max_clicks=4)
        assert result.nof(0.95) == (0, 1)

    def test_ignored_pixels_do_not_count(self):
        target = square()
        target[5:15, 14] = 128
        result = evaluate(Scripted([square(width=9) > 0]), benchmark(target))
        assert result.rows[0].ious == (1.0,)
        assert result.rows[0].area == 90 / 400


class TestProtocol:
    def test_a_perfect_predictor_needs_one_click(self):
        masks = [square(), square(0, 0, 3, 4), square(2, 3, 1, 1)]
        result = evaluate(Scripted(*[[mask > 0] for mask in masks]), benchmark(*masks))
        assert result.noc(0.85) == result.noc(0.95) == 1
        assert result.nof(0.95) == (0, 0)
        assert [row.size for row in result.rows] == ["large", "medium", "small"]

    def test_stops_at_95_percent_and_five_clicks(self):
        almost = square() > 0
        almost[5, 5:10] = False
        result = evaluate(Scripted([almost]), benchmark(square()))
        assert len(result.rows[0].ious) == 5
        assert result.noc(0.95) == 1

    def test_full_curves_never_stop(self):
        almost = square() > 0
        almost[5, 5:8] = False
        result = evaluate(Scripted([almost, NOTHING]), benchmark(square()), full_curves=True)
        assert len(result.rows[0].ious) == 20
        assert result.iou_at(20) == 0

    def test_ends_when_every_error_pixel_is_clicked(self):
        almost = square() > 0
        almost[5, 5:8] = False
        result = evaluate(Scripted([almost]), benchmark(square()), full_curves=True)
        assert len(result.rows[0].clicks) == 4

    def test_an_image_is_set_once_for_all_its_targets(self):
        shared, other = image(0), image(1)
        pairs = [(shared, square()), (other, square()), (shared, square(0, 0))]
        predictor = Scripted([square() > 0], [square() > 0])
        result = evaluate(predictor, Benchmark.of(pairs))
        assert predictor.images == [0, 1]
        assert {row.id: row.image for row in result.rows} == {"0": "0", "2": "0", "1": "1"}

    def test_previous_is_the_last_mask_and_none_at_first(self):
        predictor = Scripted(FOUR_STEPS)
        evaluate(predictor, benchmark(square()))
        assert predictor.previous[0] is None
        assert [mask.binary.sum() for mask in predictor.previous[1:]] == [60, 90, 110]

    def test_hands_all_clicks_over(self):
        predictor = Scripted(FOUR_STEPS)
        evaluate(predictor, benchmark(square()))
        assert predictor.points[-1].tolist() == [[9, 9], [6, 12], [14, 5], [5, 15]]
        assert predictor.labels[-1].tolist() == [1, 1, 1, 0]

    def test_threshold(self):
        class Grey(Disks):
            def predict(self, *args, **kwargs):
                return Mask((square() > 0) * np.float32(0.5))

        assert evaluate(Grey(), benchmark(square()), threshold=0.49).noc(0.85) == 1
        assert evaluate(Grey(), benchmark(square()), threshold=0.5).noc(0.85) == 20

    def test_more_clicks_help_a_predictor_of_disks(self):
        result = evaluate(Disks(), benchmark(square()))
        assert isinstance(Disks(), Predictor)
        assert result.rows[0].ious[0] < 0.6
        assert 2 < result.noc(0.85) < 12

    def test_measures_encoding_and_clicks_apart(self, monkeypatch):
        ticks = iter(range(1000))
        monkeypatch.setattr("clickgrain.evaluation.protocol.perf_counter", lambda: next(ticks) * 2.0)
        result = evaluate(Scripted(FOUR_STEPS), benchmark(square()))
        assert result.seconds_encode == 2
        assert result.seconds_per_click == 2
        assert result.rows[0].click_seconds == (2, 2, 2, 2)

    def test_progress_and_choice_of_targets(self):
        seen = []
        masks = [square(), square(0, 0), square(1, 1)]
        predictor = Scripted(*[[mask > 0] for mask in masks])
        result = evaluate(predictor, benchmark(*masks), targets=2, progress=lambda *args: seen.append(args))
        assert seen == [(1, 2), (2, 2)]
        assert [row.id for row in result.rows] == ["0", "1"]
        assert [row.id for row in evaluate(predictor, benchmark(*masks), targets=["2"]).rows] == ["2"]
        with pytest.raises(DataError, match="no target 'x'"):
            evaluate(predictor, benchmark(*masks), targets=["x"])

    def test_a_noisy_user_depends_on_its_seed_only(self):
        runs = [evaluate(Disks(), benchmark(square(), square(0, 0)), user=NoisyUser(seed)) for seed in (1, 1, 2)]
        assert without_seconds(runs[0]) == without_seconds(runs[1]) != without_seconds(runs[2])
        assert runs[0].user == "noisy-1"

    @pytest.mark.parametrize("settings", [{"max_clicks": 0}, {"threshold": 0.0}, {"threshold": 1.0}])
    def test_refuses_settings_out_of_range(self, settings):
        with pytest.raises(ConfigError, match="--"):
            evaluate(Disks(), benchmark(square()), **settings)


class TestFailures:
    def test_a_failing_target_is_recorded_and_the_rest_goes_on(self):
        predictor = Scripted([FOUR_STEPS[1], RuntimeError("no\nmore")], FOUR_STEPS)
        result = evaluate(predictor, benchmark(square(), square()))
        assert result.rows[0].error == "RuntimeError: no more"
        assert result.rows[0].ious == (0.9,)
        assert [row.id for row in result.failed] == ["0"]
        assert result.noc(0.85) == (20 + 2) / 2
        assert result.nof(0.85) == (1, 1)
        assert result.iou_at(1) == 0.3

    def test_set_image_may_fail(self):
        class Blind(Disks):
            def set_image(self, image):
                if image[0, 0, 0] == 0:
                    raise MemoryError("too large")
                super().set_image(image)

        result = evaluate(Blind(), benchmark(square(), square()))
        assert [row.error for row in result.rows] == ["MemoryError: too large", None]

    @pytest.mark.parametrize(
        ("answer", "message"),
        [(np.zeros((3, 3)), r"shape \(3, 3\)"), (np.full(SIZE, np.nan), "no numbers")],
    )
    def test_a_useless_probability_is_a_failure(self, answer, message):
        result = evaluate(Scripted([answer]), benchmark(square()))
        assert result.failed
        with pytest.raises(AssertionError, match=message):
            raise AssertionError(result.rows[0].error)

    def test_an_interruption_is_not_swallowed(self):
        with pytest.raises(KeyboardInterrupt):
            evaluate(Scripted([KeyboardInterrupt()]), benchmark(square()))

    def test_bad_targets_are_skipped_and_named(self):
        seen = []
        masks = [square(), np.zeros(SIZE, np.uint8), np.zeros((3, 3), np.uint8)]
        result = evaluate(Scripted(FOUR_STEPS), benchmark(*masks), progress=lambda *args: seen.append(args))
        assert len(result.rows) == 1
        assert "target 1: mask 1: no object pixel" in result.skipped[0]
        assert "(3, 3)" in result.skipped[1]
        assert seen[-1] == (3, 3)

    def test_nothing_usable_is_an_error(self):
        with pytest.raises(DataError, match=r"no usable target(.|\n)*no object pixel"):
            evaluate(Disks(), benchmark(np.zeros(SIZE, np.uint8)))


class TestResume:
    masks = (square(), square(0, 0), square(3, 3, 5, 5), square(9, 1, 8, 8))

    def run(self, predictor, path, **kwargs):
        return evaluate(predictor, benchmark(*self.masks), jsonl=path, **kwargs)

    def stop_at(self, number, error):
        class Stopping(Disks):
            name = "disks"
            seen: list[int] = []  # noqa: RUF012

            def set_image(self, image):
                self.seen.append(int(image[0, 0, 0]))
                if image[0, 0, 0] == number:
                    raise error
                super().set_image(image)

        return Stopping()

    def test_goes_on_where_it_was_interrupted(self, tmp_path):
        path = tmp_path / "new" / "run.jsonl"
        with pytest.raises(KeyboardInterrupt):
            self.run(self.stop_at(2, KeyboardInterrupt()), path)
        assert len(path.read_text().splitlines()) == 3
        again = self.stop_at(-1, None)
        resumed = self.run(again, path)
        assert again.seen == [2, 3]
        assert without_seconds(resumed) == without_seconds(self.run(again, None))

    def test_a_line_cut_short_is_evaluated_again(self, tmp_path):
        path = tmp_path / "run.jsonl"
        whole = self.run(self.stop_at(-1, None), path)
        path.write_bytes(path.read_bytes()[:-9])
        again = self.stop_at(-1, None)
        assert without_seconds(self.run(again, path)) == without_seconds(whole)
        assert again.seen == [3]
        third = self.stop_at(-1, None)
        self.run(third, path)
        assert third.seen == []

    def test_failed_targets_are_tried_again(self, tmp_path):
        path = tmp_path / "run.jsonl"
        assert len(self.run(self.stop_at(1, RuntimeError("busy")), path).failed) == 1
        again = self.stop_at(-1, None)
        assert not self.run(again, path).failed
        assert again.seen == [1]

    def test_without_resuming_starts_anew(self, tmp_path):
        path = tmp_path / "run.jsonl"
        self.run(self.stop_at(-1, None), path)
        again = self.stop_at(-1, None)
        self.run(again, path, resume=False)
        assert again.seen == [0, 1, 2, 3]
        assert len(path.read_text().splitlines()) == 5

    @pytest.mark.parametrize(
        ("other", "message"),
        [
            ({"model": "another"}, "model 'disks', not 'another'"),
            ({"threshold": 0.49}, "settings .*'threshold': 0.5.* not .*0.49"),
            ({"user": NoisyUser(1)}, "noisy-1"),
        ],
    )
    def test_another_evaluation_is_refused(self, tmp_path, other, message):
        path = tmp_path / "run.jsonl"
        self.run(self.stop_at(-1, None), path)
        before = path.read_bytes()
        with pytest.raises(DataError, match=message):
            self.run(self.stop_at(-1, None), path, **other)
        assert path.read_bytes() == before

    def test_another_version_or_another_image_is_refused(self, tmp_path, monkeypatch):
        path = tmp_path / "run.jsonl"
        self.run(self.stop_at(-1, None), path)
        with pytest.raises(DataError, match="images or masks with the hash"):
            evaluate(Disks(), benchmark(*reversed(self.masks)), model="disks", jsonl=path)
        monkeypatch.setattr(protocol, "__version__", "99.0")
        with pytest.raises(DataError, match=r"of clickgrain .* not '99\.0'"):
            self.run(self.stop_at(-1, None), path)

    @pytest.mark.parametrize("content", ["hello\n", "[1]\n", '{"a": 1}\n'])
    def test_a_foreign_file_is_refused_and_kept(self, tmp_path, content):
        path = tmp_path / "notes.txt"
        path.write_text(content)
        with pytest.raises(DataError, match=r"notes\.txt: not an evaluation"):
            self.run(Disks(), path)
        assert path.read_text() == content

    def test_a_damaged_row_is_refused(self, tmp_path):
        path = tmp_path / "run.jsonl"
        self.run(self.stop_at(-1, None), path)
        path.write_text(path.read_text().replace('"ious"', '"iou"'))
        with pytest.raises(DataError, match=r"run\.jsonl.*not a row"):
            self.run(self.stop_at(-1, None), path)

    def test_a_full_disk_is_said(self, tmp_path):
        full = tmp_path / "full.jsonl"
        try:
            full.symlink_to("/dev/full")
            full.open("wb").close()
        except OSError:
            pytest.skip("no /dev/full here")
        with pytest.raises(DataError, match=r"full\.jsonl: cannot be written \(No space left"):
            self.run(Disks(), full, resume=False)

    def test_a_folder_is_no_file(self, tmp_path):
        with pytest.raises(DataError, match="cannot be read or written"):
            self.run(Disks(), tmp_path)


def test_iou_of_two_empty_masks_is_one():
    assert iou(NOTHING, ~NOTHING, NOTHING) == 1
