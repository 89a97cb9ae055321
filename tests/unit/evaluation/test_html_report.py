import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from clickgrain.clicks.robot import RobotUser
from clickgrain.errors import DataError
from clickgrain.evaluation import Benchmark, OpenCVGrabCut, Result, evaluate
from clickgrain.evaluation.html import (
    Report,
    Series,
    commands,
    comparison_table,
    example_gallery,
    examples,
    facts,
    figure,
    headline,
    iou_curves,
    line_chart,
    machine,
    paragraph,
    replay,
    tag,
    target_table,
    tree_pictures,
)
from clickgrain.evaluation.html.charts import _ticks
from clickgrain.evaluation.pictures import data_uri, feature_map, overlay, region_map
from clickgrain.tree import build_tree
from clickgrain.types import Mask

SIDE = 48


class Threshold:
    """Answers with what has nearly the colour of the first click; never perfect, always the same."""

    def __init__(self, reach: float) -> None:
        self.name, self.reach = f"reach {reach:g}", reach
        self.calls: list[bool] = []

    def set_image(self, image):
        self.image = image.astype(np.float32)

    def predict(self, points, labels, box=None, scribbles=None, level=None, previous=None):
        self.calls.append(previous is not None)
        x, y = (int(v) for v in points[0])
        near = np.abs(self.image - self.image[y, x]).max(2) <= self.reach
        return Mask(near.astype(np.float32))


class Strict(HTMLParser):
    """Every element is closed in order; remembers elements and text."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.seen)


@pytest.fixture(scope="module")
def scene():
    """Three images with one noisy square each, of different size and contrast."""
    rng = np.random.default_rng(0)
    pairs = []
    for side, gap in ((8, 60), (16, 90), (24, 120)):
        mask = np.zeros((SIDE, SIDE + 8), bool)
        mask[6 : 6 + side, 9 : 9 + side] = True
        image = rng.integers(60, 90, (*mask.shape, 3)).astype(np.uint8)
        image[mask] += np.uint8(gap)
        pairs.append((image, mask))
    return pairs


@pytest.fixture(scope="module")
def predictors():
    return [Threshold(30), Threshold(8)]


@pytest.fixture(scope="module")
def results(scene, predictors) -> list[Result]:
    benchmark = Benchmark.of(scene, "squares")
    return [evaluate(predictor, benchmark, max_clicks=6) for predictor in predictors]


def decoded(uri: str) -> np.ndarray:
    head, data = uri.split(",", 1)
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


class TestPage:
    def test_it_is_well_formed_and_needs_nothing_else(self, results, tmp_path):
        report = Report("Title", lead="Lead", footer="End")
        report.add("Table", comparison_table(results), target_table(results))
        report.add("Curves", iou_curves(results))
        report.add("", facts(machine()), commands(["clickgrain demo"]))
        page = report.write(tmp_path / "deep" / "report.html").read_text(encoding="utf-8")
        parsed = Strict(page)
        assert (parsed.count("h1"), parsed.count("h2"), parsed.count("table"), parsed.count("svg")) == (1, 2, 3, 1)
        assert ("meta", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in [
            (name, attributes.get("content")) for name, attributes in parsed.seen
        ]
        assert not re.search(r"https?:|//|@import|url\(|<script|<link", page)

    @pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", '"><img src=x>', "a&b</style>", "\udcff.png"])
    def test_names_of_users_cannot_become_markup(self, hostile, results):
        report = Report(hostile, lead=hostile, footer=hostile)
        pictures = [figure(np.zeros((8, 8, 3), np.uint8), hostile, alt=hostile)]
        labels = [hostile, "other"]
        report.add(hostile, *pictures, paragraph(hostile), facts({hostile: hostile}), commands([hostile]))
        report.add("x", comparison_table(results, labels), iou_curves(results, labels), headline([(hostile,) * 3]))
        parsed = Strict(report.html())
        assert parsed.count("script") == 0
        assert parsed.count("img") == 1
        shown = hostile.encode("utf-8", "backslashreplace").decode()
        assert "".join(parsed.text).count(shown) >= 10

    def test_a_folder_that_cannot_be_written_is_named(self, tmp_path):
        blocked = tmp_path / "file"
        blocked.write_text("x")
        with pytest.raises(DataError, match=r"file.*cannot be written"):
            Report("t").write(blocked / "report.html")

    def test_the_machine_is_described_without_its_name(self):
        import getpass
        import platform

        described = machine()
        assert set(described) == {"Processor", "System", "Versions", "clickgrain", "Time"}
        assert all(described.values())
        if len(platform.node()) > 4:
            assert platform.node() not in " ".join(described.values())
        assert getpass.getuser() not in described["System"].split()


class TestTables:
    def test_the_comparison_holds_the_figures_and_marks_the_best(self, results):
        parsed = Strict(comparison_table(results, ["one", "two"]))
        text = parsed.text
        for result in results:
            assert f"{result.noc(0.9):.2f}" in text
            assert f"{result.iou_at(3):.3f}" in text
        assert results[0].noc(0.9) < results[1].noc(0.9)
        best = re.findall(r'<td class="best">([^<]+)<', comparison_table(results))
        assert f"{results[0].noc(0.9):.2f}" in best
        assert f"{results[1].noc(0.9):.2f}" not in best

    def test_clicks_that_were_not_made_have_no_column(self, scene):
        result = evaluate(Threshold(30), Benchmark.of(scene), max_clicks=3)
        table = comparison_table([result])
        heads = re.findall("<th>([^<]+)</th>", " ".join(re.findall("<thead>.*?</thead>", table)))
        assert "mIoU@3" in heads
        assert "mIoU@5" not in heads

    def test_every_target_is_listed_with_its_clicks_or_never(self, results):
        table = target_table(results, iou=0.9)
        rows = [re.findall(r"<t[hd][^>]*>([^<]*)<", row) for row in table.split("<tr>")[2:]]
        assert len(rows) == 3
        for i, row in enumerate(rows):
            for result, cell in zip(results, row[3:]):
                curve = result.curves[i]
                expected = str(int(np.argmax(curve >= 0.9)) + 1) if (curve >= 0.9).any() else "never"
                assert cell == expected


class TestCharts:
    def test_points_lie_where_their_values_are(self):
        chart = line_chart([Series("a", [(0, 0.0), (5, 0.5), (10, 1.0)])], x="x", y="y", title="t", y_range=(0, 1))
        (points,) = re.findall(r'points="([^"]+)"', chart)
        (x0, y0), (x1, y1), (x2, y2) = ([float(v) for v in p.split(",")] for p in points.split())
        assert x1 == pytest.approx((x0 + x2) / 2, abs=0.1)
        assert y1 == pytest.approx((y0 + y2) / 2, abs=0.1)
        assert x0 < x2
        assert y0 > y2

    def test_a_line_per_model_told_apart_without_colour(self, results):
        chart = iou_curves(results, ["first", "second"])
        assert chart.count("<polyline") == 2
        assert chart.count("stroke-dasharray") == 1
        assert chart.count("first") == chart.count("second") == 2  # legend and line end

    def test_names_at_the_ends_never_cover_each_other(self):
        lines = [Series(f"n{i}", [(1, 0.5), (2, 0.9 + i / 1000)]) for i in range(5)]
        chart = line_chart(lines, x="x", y="y", title="t", y_range=(0, 1))
        heights = sorted(float(y) for y in re.findall(r'class="name[^"]*" x="\d+" y="([\d.]+)"', chart))
        assert len(heights) == 5
        assert min(np.diff(heights)) >= 17.9

    @pytest.mark.parametrize(("low", "high"), [(0, 1), (1, 20), (0, 0.003), (-5, 1e6)])
    def test_ticks_are_few_and_inside(self, low, high):
        ticks = _ticks(low, high, 5)
        assert 2 <= len(ticks) <= 6
        assert min(ticks) >= low
        assert max(ticks) <= high

    def test_a_single_point_is_a_chart(self):
        assert "NaN" not in line_chart([Series("a", [(1, 0.0)])], x="x", y="y", title="t")


class TestPictures:
    def test_a_mask_is_tinted_inside_and_left_alone_outside(self, scene):
        image, mask = scene[2]
        drawn = overlay(image, mask, long_side=image.shape[1]).astype(int)
        assert (np.abs(drawn - image)[18, 21] > 5).any()
        assert (drawn[40, 45] == image[40, 45]).all()

    def test_clicks_are_drawn_where_they_are_in_two_colours_and_shapes(self):
        image = np.full((60, 100, 3), 128, np.uint8)
        drawn = overlay(image, clicks=[(20, 30, 1), (80, 30, 0)], long_side=400).astype(int)
        around = [drawn[112:134, x - 11 : x + 12].reshape(-1, 3).mean(0) for x in (82, 322)]
        assert around[0][1] > around[0][0]
        assert around[1][0] > around[1][1]
        corner = [drawn[122 - 8, x - 8] for x in (82, 322)]
        assert (corner[0] == 128).all() or corner[0].mean() > corner[1].mean()

    def test_nothing_given_nothing_drawn(self, scene):
        image = scene[0][0]
        assert (overlay(image, long_side=max(image.shape[:2])) == image).all()

    def test_regions_take_their_mean_colour_and_have_borders(self):
        image = np.zeros((40, 80, 3), np.uint8)
        image[:, :40] = (200, 10, 10)
        image[:, 40:] = (10, 10, 200)
        labels = np.repeat([[0, 1]], 2, 0).repeat(4, 1)
        drawn = region_map(image, labels, long_side=80)
        assert drawn[20, 10].tolist() == [200, 10, 10]
        assert drawn[20, 70].tolist() == [10, 10, 200]
        assert drawn[20, 38:42].tolist() != image[20, 38:42].tolist()

    def test_features_become_colours_that_tell_regions_apart(self):
        features = np.zeros((6, 8, 5), np.float32)
        features[:, 4:] = 1
        drawn = feature_map(features, (60, 80), long_side=80).astype(int)
        assert drawn.shape == (60, 80, 3)
        assert np.abs(drawn[30, 5] - drawn[30, 75]).max() > 100

    def test_constant_features_of_two_dimensions_are_drawn(self):
        assert feature_map(np.ones((4, 4, 2), np.float32), (32, 32), long_side=16).shape == (16, 16, 3)

    def test_a_data_uri_holds_the_picture(self, scene):
        image = np.full((20, 30, 3), (200, 100, 50), np.uint8)
        assert np.abs(decoded(data_uri(image)).astype(int) - image).max() < 8


class TestGalleries:
    def test_best_median_and_worst_with_every_models_mask(self, scene, results, predictors):
        shown = examples(results, predictors, lambda id_: scene[int(id_)], clicks=2)
        assert [example.place for example in shown] == ["best", "median", "worst"]
        ease = [results[0].curves[int(example.id), :5].mean() for example in shown]
        assert ease == sorted(ease, reverse=True)
        for example in shown:
            for (name, clicks, mask, iou, again), result in zip(example.answers, results):
                row = next(row for row in result.rows if row.id == example.id)
                assert name == result.model
                assert tuple(clicks) == row.clicks[:2]
                overlap = (mask & example.target).sum() / (mask | example.target).sum()
                assert overlap == pytest.approx(iou)
                assert again == pytest.approx(iou)
        page = Strict(example_gallery(shown))
        assert page.count("h3") == 3
        assert page.count("figure") == 3 * (1 + len(results))

    def test_a_lone_target_is_shown_once(self, scene, predictors):
        result = evaluate(predictors[0], Benchmark.of(scene[:1]), max_clicks=3)
        assert len(examples([result], predictors[:1], lambda id_: scene[0])) == 1

    def test_a_model_that_failed_is_left_out(self, scene, results, predictors):
        class Broken(Threshold):
            def predict(self, *args, **kwargs):
                raise RuntimeError("no")

        broken = Broken(1)
        failed = evaluate(broken, Benchmark.of(scene), max_clicks=3)
        shown = examples([results[0], failed], [predictors[0], broken], lambda id_: scene[int(id_)])
        assert [len(example.answers) for example in shown] == [1, 1, 1]

    def test_replay_gives_what_the_evaluation_saw(self, scene):
        image, mask = scene[1]
        grabcut = OpenCVGrabCut()
        result = evaluate(grabcut, Benchmark.of([(image, mask)]), max_clicks=3, user=RobotUser())
        row = result.rows[0]
        answer = replay(grabcut, image, row.clicks).probability > 0.5
        assert (answer & mask).sum() / (answer | mask).sum() == pytest.approx(row.ious[-1])

    def test_replay_hands_the_previous_mask_back(self, scene):
        predictor = Threshold(30)
        replay(predictor, scene[0][0], [(10, 10, 1), (40, 40, 0), (12, 12, 1)])
        assert predictor.calls == [False, True, True]

    def test_tree_pictures_show_the_photo_its_cuts_and_the_region(self, scene):
        image = scene[2][0]
        tree = build_tree(image[::2, ::2].astype(np.float32), image.shape[:2])
        page = Strict("".join(tree_pictures(image, tree, (20, 20), level=0.9)))
        assert page.count("img") == 5
        assert {"120 regions", "30 regions", "8 regions"} <= set(page.text)


def test_tag_escapes_children_and_attributes():
    assert tag("p", "<", tag("b", "&"), class_='"x"') == '<p class="&quot;x&quot;">&lt;<b>&amp;</b></p>'
