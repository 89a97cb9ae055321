"""The page that an evaluation ends with."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from clickgrain.errors import DataError, WeightsError
from clickgrain.evaluation import (
    Benchmark,
    EvaluationSettings,
    Result,
    Target,
    TargetResult,
    data_hash,
    evaluate,
    report,
    size_class,
)
from clickgrain.evaluation.examples import Entry
from clickgrain.evaluation.published import KINDS, PublishedResult
from clickgrain.evaluation.report import CLICKS, PATIENCE, section, write_report
from clickgrain.evaluation.result import differences
from clickgrain.types import Mask

SIDE = 40
HOSTILE = '<script src="https://evil.example/x.js">alert(1)</script>'


class Page(HTMLParser):
    """Every element closed in order; keeps elements, text, and the text of every table row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.words: list[str] = []
        self.feed(text)
        assert not self.open, self.open
        self.text = " ".join(self.words)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            data = " ".join(data.split())
            if data:
                self.words.append(data)
            if data and "tr" in self.open:
                self.rows[-1].append(data)

    def row(self, name: str) -> list[str]:
        return next(row for row in self.rows if row and row[0] == name)


class Bright:
    """What is brighter than a limit."""

    def __init__(self, limit: float) -> None:
        self.limit, self.images, self.prompts = limit, 0, []

    def set_image(self, image):
        self.image, self.images = image, self.images + 1

    def predict(self, points, labels, previous=None, **more):
        self.prompts.append((len(points), sorted(more)))
        return Mask((self.image.mean(2) > self.limit).astype(np.float32))


def scene(side: int, corner: int):
    mask = np.zeros((SIDE, SIDE + 10), bool)
    mask[corner : corner + side, corner : corner + side] = True
    image = np.random.default_rng(side).integers(40, 90, (*mask.shape, 3)).astype(np.uint8)
    image[mask] += np.uint8(100)
    return image, mask.astype(np.uint8) * 255


@pytest.fixture(scope="module")
def squares() -> Benchmark:
    """Small, medium and large squares, inside and at the border."""
    return Benchmark.of([scene(6, 9), scene(6, 0), scene(14, 9), scene(14, 0), scene(24, 8)], "squares")


@pytest.fixture(scope="module")
def models():
    return {"good": lambda: Bright(115), "bad": lambda: Bright(60)}


@pytest.fixture(scope="module")
def results(squares, models) -> list[Result]:
    return [evaluate(load(), squares, model=name, max_clicks=6) for name, load in models.items()]


def written(path, *args, **more) -> tuple[str, Page]:
    text = write_report(*args, path / "report.html", **more).read_text(encoding="utf-8")
    return text, Page(text)


def renamed(results, benchmark: str) -> list[Result]:
    return [replace(result, benchmark=benchmark) for result in results]


def row_of(id_: str, ious, **more) -> TargetResult:
    values = {"image": id_, "area": 0.1, "size": size_class(0.1), "boundary_ious": ious, "encode_seconds": 0.1}
    made = {"disobeyed": (0,) * len(ious), "clicks": ((3, 3, 1),) * len(ious), "click_seconds": (0.1,) * len(ious)}
    return TargetResult(id=id_, ious=ious, **{**values, **made, **more})


class TestPage:
    def test_it_needs_nothing_but_itself_and_shows_everything(self, results, squares, models, tmp_path):
        text, page = written(
            tmp_path,
            results,
            {"squares": squares},
            commands=["clickgrain evaluate X"],
            notes=["mind"],
            loaders=models,
        )
        links = [
            value for _, a in page.seen for name, value in a.items() if name in ("src", "href", "srcset", "data")
        ]
        assert links
        assert all(link.startswith("data:image/jpeg;base64,") for link in links)
        markup = re.sub(r"data:image/jpeg;base64,[^\"]*", "", text)
        assert not re.search(r"https?:|//|@import|url\(|<script|<link|<iframe|\bon\w+=", markup)
        assert markup.count("<svg") == 1
        assert not re.search(r"\bnan\b|\binf\b", page.text, re.IGNORECASE)
        for heading in ("How to read this", "squares", "Clicks by size", "What it looks like", "Where they fail"):
            assert heading in page.text
        assert "clickgrain evaluate X" in page.text
        assert "mind" in page.text
        assert "All sets" not in page.text

    def test_hostile_names_stay_text(self, results, squares, tmp_path):
        rows = tuple(replace(row, id=f"{row.id}{HOSTILE}", error=HOSTILE) for row in results[1].rows)
        hostile = replace(
            results[1], model=HOSTILE, benchmark=HOSTILE, rows=rows, notes=(HOSTILE,), skipped=(HOSTILE,)
        )
        text, page = written(tmp_path, [hostile], {HOSTILE: squares}, commands=[HOSTILE], notes=[HOSTILE])
        assert not [name for name, _ in page.seen if name in ("script", "link", "iframe")]
        assert page.text.count(HOSTILE) > 8
        assert HOSTILE not in text

    def test_one_result_without_its_benchmark_has_figures_and_no_pictures(self, results, tmp_path):
        _, page = written(tmp_path, results[:1], {})
        assert page.row("good")[1:2] == [f"{results[0].noc(0.8):.2f}"]
        assert not [name for name, _ in page.seen if name == "img"]
        assert "Where they fail" in page.text

    def test_nothing_to_report_is_an_error(self, tmp_path):
        with pytest.raises(DataError, match="no result"):
            write_report([], {}, tmp_path / "x.html")

    def test_a_model_that_fails_everywhere_is_said_and_counted(self, results, squares, tmp_path):
        class Broken(Bright):
            def predict(self, *args, **kwargs):
                raise RuntimeError("out of order")

        broken = evaluate(Broken(1), squares, model="broken", max_clicks=6)
        _, page = written(
            tmp_path, [results[0], broken], {"squares": squares}, loaders={"broken": lambda: Broken(1)}
        )
        assert "broken failed on 5 targets" in page.text
        assert "out of order" in page.text
        assert page.row("broken")[1] == "6.00"

    def test_different_targets_and_settings_are_pointed_out(self, results, squares, tmp_path):
        fewer = replace(results[1], rows=results[1].rows[1:])
        other = replace(results[1], model="third", settings=EvaluationSettings(6, threshold=0.49))
        _, page = written(tmp_path, [results[0], fewer, other], {"squares": squares})
        assert "faced different targets" in page.text
        assert "good 5, bad 4" in page.text
        assert "third threshold 0.49" in page.text
        _, page = written(tmp_path, results, {"squares": squares})
        assert "faced different targets" not in page.text
        assert "different settings" not in page.text

    def test_a_section_per_set_and_an_overview(self, results, squares, tmp_path):
        sets = {"squares": squares, "bsds": Benchmark("bsds", squares)}
        _, page = written(tmp_path, [*results, *renamed(results[:1], "bsds")], sets)
        assert "All sets" in page.text
        assert "bsds: development set" in page.words
        assert "methods were tuned on it" in page.text
        assert page.row("bad")[-2:] == ["–", "–"]  # noqa: RUF001

    def test_a_model_keeps_its_color_where_others_are_missing(self, results, tmp_path):
        text, _ = written(tmp_path, [*results, *renamed(results[1:], "other")], {})
        colors = re.findall(r'<tr class="(c\d)"><th><span class="key"></span>bad</th>', text)
        assert set(colors) == {"c1"}
        assert len(colors) > 5

    def test_users_are_told_apart_and_names_can_be_given(self, results, tmp_path):
        noisy = replace(results[0], user="noisy-0")
        _, page = written(tmp_path, [results[0], noisy], {}, labels={"good": "Good One"})
        assert page.row("Good One, robot")
        assert page.row("Good One, noisy-0")

    def test_models_of_one_name_are_told_apart(self, results, tmp_path):
        _, page = written(tmp_path, results, {}, labels={"good": "same", "bad": "same"})
        assert page.row("same")[1] == f"{results[0].noc(0.8):.2f}"
        assert page.row("same [2]")[1] == f"{results[1].noc(0.8):.2f}"

    def test_targets_that_are_gone_cost_their_pictures_only(self, results, squares, tmp_path):
        def gone(*args):
            raise DataError("gone")

        targets = [Target(t.id, t.image_id, gone, gone) for t in squares]
        _, page = written(tmp_path, results, {"squares": Benchmark("squares", targets)})
        assert "small (2)" in page.words
        assert not [name for name, _ in page.seen if name == "img"]


class TestPublishedRows:
    def test_they_stand_apart_and_a_part_of_the_set_is_called_so(self, results, tmp_path):
        text, page = written(tmp_path, renamed(results, "grabcut21"), {})
        assert "5 of the 50 targets of GrabCut" in page.text
        assert text.index("Published rows do not compare") < text.index("MIS ViT-B")
        assert page.row("MIS ViT-B") == ["MIS ViT-B", "published", "1.94", "2.32"]
        bodies = re.findall(r'<tbody class="published">(.*?)</tbody>', text, re.DOTALL)
        kinds = [title for kind, title in KINDS.items() if kind != "before"]
        assert [kind in body for kind, body in zip(kinds, bodies)] == [True] * 3
        assert "SimpleClick-B" in bodies[2]
        assert not any('class="best"' in body for body in bodies)

    def test_another_user_and_other_settings_are_caveats_too(self, results, tmp_path):
        noisy = [replace(result, user="noisy-0") for result in renamed(results, "grabcut")]
        _, page = written(tmp_path, noisy, {})
        assert "clicked by the robot alone" in page.text
        assert "allow 20 clicks" in page.text  # these were allowed 6

    def test_figures_of_another_task_stand_in_brackets(self, results, tmp_path):
        _, page = written(tmp_path, renamed(results, "sbd"), {})
        assert page.row("M2N2") == ["M2N2", "published", "(7.72)", "(10.94)"]
        assert page.row("SAM-H") == ["SAM-H", "published", "7.62"]

    def test_a_whole_set_has_no_caveat(self, results, tmp_path):
        rows = tuple(replace(results[0].rows[0], id=f"{i}") for i in range(50))
        _, page = written(
            tmp_path, [replace(results[0], benchmark="grabcut", rows=rows, settings=EvaluationSettings())], {}
        )
        assert "do not compare" not in page.text

    def test_scans_have_their_row_among_the_masks(self, results, tmp_path):
        _, page = written(tmp_path, renamed(results, "ssTEM"), {})
        assert page.row("SimpleClick-B") == ["SimpleClick-B", "published", "0.280", "0.630", "0.870"]

    def test_our_own_rows_stand_apart_from_both(self, results, squares, tmp_path, monkeypatch):
        figures = {"NoC85": 7.5, "NoC85_low": 6.25, "NoC85_high": 8.75, "drops05": 3.0}
        row = PublishedResult("graph-cut", "before", figures, "clickgrain evaluate X; 2026-11-23")
        asked = []
        monkeypatch.setattr(report, "measured_before", lambda data, settings: asked.append(data) or (row,))
        _, page = written(tmp_path, results, {"squares": squares})
        assert page.row("graph-cut") == ["graph-cut", "before", "7.50", "6.2–8.8"]  # noqa: RUF001
        assert "measured by us before, on squares" in page.words
        assert "clickgrain evaluate X; 2026-11-23" in page.text
        assert asked == [data_hash(squares)]
        measured = [replace(results[0], model="graph-cut"), results[1]]
        _, page = written(tmp_path, measured, {"squares": squares})
        assert "before" not in page.row("graph-cut")
        noisy = [replace(result, user="noisy-0") for result in results]
        _, page = written(tmp_path, noisy, {"squares": squares})
        assert "graph-cut" not in page.text


def section_of(results, labels):
    return section([Entry(result, label) for result, label in zip(results, labels)], None)


def tables_of(results):
    return section_of(results, [result.model for result in results])["tables"]


def table_rows(results, place):
    """name -> texts of the cells, small letters included, of one of the three tables; the heads under ""."""
    table = tables_of(results)[place]
    rows = {
        row.name: [text for cell in row.cells for text in (cell.text, cell.small) if text] for row in table.rows
    }
    return {"": list(table.heads[1:])} | rows


class TestFigures:
    def test_the_comparison_holds_the_figures_and_marks_the_best(self, results):
        clicks, masks, _ = section_of(results, ["good", "bad"])["tables"]
        for table, name, column in ((clicks, "NoC90", 0.9), (masks, "mIoU@3", 3)):
            place = table.heads.index(name) - 1
            for row, result in zip(table.rows, results):
                value = f"{result.noc(column):.2f}" if name == "NoC90" else f"{result.iou_at(column):.3f}"
                assert row.cells[place].text == value
            assert [row.cells[place].best for row in table.rows] == [True, False]

    def test_a_draw_has_no_winner(self, results):
        for table in section_of([results[0]] * 2, ["one", "two"])["tables"]:
            assert not any(cell.best for row in table.rows for cell in row.cells)

    def test_intervals_stand_below_their_figures(self, results):
        low, high = results[0].intervals["NoC90"]
        assert f"{low:.1f}–{high:.1f}" in table_rows(results, 0)["good"]  # noqa: RUF001

    def test_differences_are_those_to_the_first_method(self, results, tmp_path):
        _, page = written(tmp_path, results, {})
        found = differences(results[1], results[0])["NoC90"]
        rows = [row for row in page.rows if row[:1] == ["bad"]]
        assert any(f"{found.value:+.2f}" in row for row in rows)
        assert any(row[:1] == ["minus good"] for row in page.rows)
        _, page = written(tmp_path, results[:1], {})
        assert "Differences" not in page.words

    def test_clicks_that_destroy_have_a_column_with_its_interval(self):
        shaky = [row_of(f"{k}", (0.3, 0.8, 0.5, 0.6)[: 2 + k % 3]) for k in range(9)]
        result = Result("m", "x", "robot", EvaluationSettings(), tuple(shaky))
        rows = table_rows([result], 2)
        low, high = result.intervals["drops05"]
        assert rows[""][:2] == ["drops05", "drops20"]
        assert rows["m"][:2] == [f"{result.drops():.1f}", f"{low:.1f}–{high:.1f}"]  # noqa: RUF001

    def test_seconds_have_their_median_and_tail(self):
        rows = tuple(row_of(f"{k}", (0.3,), click_seconds=(float(k),)) for k in range(101))
        assert "50.000 / 95.000" in table_rows([Result("m", "x", "robot", EvaluationSettings(), rows)], 2)["m"]

    def test_a_single_image_has_no_interval(self):
        result = Result("m", "b", "robot", EvaluationSettings(3), (row_of("0", (0.5, 0.9, 0.9)),))
        for table in section_of([result], ["m"])["tables"]:
            assert not any(cell.small for row in table.rows for cell in row.cells)

    def test_both_counts_of_failures_are_shown_where_they_differ(self):
        rows = (row_of("0", (0.5, 0.6, 0.99)), row_of("1", (0.5, 0.6, 0.7)), row_of("2", (0.99, 0.99, 0.99)))
        result = Result("m", "b", "robot", EvaluationSettings(3), rows)
        assert "1 / 2" in table_rows([result], 0)["m"]

    def test_late_and_missing_overlaps_are_left_out(self):
        rows = (row_of("0", (0.5,) * 10),)
        for full in (False, True):
            result = Result("m", "b", "robot", EvaluationSettings(10, full_curves=full), rows)
            assert ("mIoU@10" in table_rows([result], 1)[""]) == full
        few = Result("m", "b", "robot", EvaluationSettings(3), (row_of("0", (0.5,) * 3),))
        heads = table_rows([few], 1)[""]
        assert "mIoU@3" in heads
        assert "mIoU@5" not in heads

    def test_clicks_by_size_leave_empty_classes_out(self, results):
        few = [replace(result, rows=result.rows[:2]) for result in results]
        table = section_of(few, ["good", "bad"])["sizes"]
        assert table.groups == [("small, below 3 % of the image", "2 targets")]
        bad = table.rows[1].cells
        assert [cell.text for cell in bad] == [f"{few[1].noc(0.85):.2f}", f"{few[1].noc(0.9):.2f}"]
        assert bad[0].share == few[1].noc(0.85) / 6

    def test_every_target_is_listed_with_its_clicks_or_never(self, results):
        rows = section_of(results, ["good", "bad"])["targets"].rows
        assert len(rows) == 5
        for i, row in enumerate(rows):
            for result, cell in zip(results, row.cells[2:]):
                curve = result.curves[i]
                expected = str(int(np.argmax(curve >= 0.9)) + 1) if (curve >= 0.9).any() else "never"
                assert cell.text == expected


class TestFailures:
    def test_shares_and_the_hardest_targets(self, results, squares, tmp_path):
        _, page = written(tmp_path, results, {"squares": squares})
        assert page.row("small, inside the image (1)")[1:] == ["0 %", "0 of 1", "100 %", "1 of 1"]
        shown = [a["alt"] for name, a in page.seen if name == "img" and a["alt"].startswith("target ")]
        assert sorted(shown) == [f"target {i}" for i in range(5)]
        assert page.text.count("1 of 2 fail") == 5


class TestMasksAgain:
    def test_masks_are_made_again_for_the_shown_targets_only(self, results, squares, tmp_path):
        made = []

        def load():
            made.append(Bright(115))
            return made[-1]

        written(tmp_path, [results[0], *renamed(results[:1], "more")], {"squares": squares, "more": squares},
                loaders={"good": load})  # fmt: skip
        assert len(made) == 1
        assert made[0].images == 2 * 3
        assert max(count for count, _ in made[0].prompts) <= CLICKS

    def test_a_mask_that_is_not_what_was_measured_is_pointed_out(self, results, squares, tmp_path):
        def unsure(target):
            return lambda size: np.where(target.mask(size) > 0, 255, 128).astype(np.uint8)

        ignored = [Target(t.id, t.image_id, t.image, unsure(t)) for t in squares]
        for load, said in ((lambda: Bright(115), False), (lambda: Bright(60), True)):
            _, page = written(tmp_path, results[:1], {"squares": squares}, loaders={"good": load})
            assert ("the model has changed since" in page.text) == said
        # What lies on ignored pixels counts nowhere: the same flawed masks are now as good as measured.
        _, page = written(
            tmp_path, results[:1], {"squares": Benchmark("squares", ignored)}, loaders={"good": lambda: Bright(60)}
        )
        assert "the model has changed since" not in page.text

    def test_slow_broken_and_missing_models_show_their_clicks(self, results, squares, tmp_path):
        def fail():
            raise WeightsError("no weights")

        slow = replace(results[1], rows=tuple(replace(row, encode_seconds=PATIENCE + 1) for row in results[1].rows))
        _, page = written(
            tmp_path, [results[0], slow], {"squares": squares}, loaders={"good": fail, "bad": lambda: Bright(60)}
        )
        assert "Clicks without a mask: good, bad." in page.text
        assert [a["alt"] for name, a in page.seen if name == "img" and a["alt"].startswith("good: clicks after")]
