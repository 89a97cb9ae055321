"""A newcomer runs the demo, stops it, runs it again, and reads one page."""

import json
import re
import sqlite3
from html.parser import HTMLParser

import numpy as np
import pytest

from clickgrain.demo.config import DemoArgs, DemoScale
from clickgrain.demo.story import run_demo
from clickgrain.errors import ConfigError, DataError
from clickgrain.evaluation import load_benchmark
from clickgrain.progress import Quiet
from clickgrain.segmenter import Segmenter

TINY = DemoScale(
    learn=2, held_out=2, side=64, composites=3, targets=2, crop=32, batch=2, widths=(4, 4, 8, 8, 8), steps=3
)
RIVALS = ("grain model", "tree mode", "OpenCV GrabCut")
MODELS = (*RIVALS, "grain, untrained")


class Page(HTMLParser):
    """Counts elements, keeps attributes and text; fails where elements are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.counts: dict[str, int] = {}
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


class StopAt(Quiet):
    """Ctrl-C in the middle of a stage."""

    def __init__(self, stage: str) -> None:
        self.stage, self.here = stage, ""

    def start(self, what: str, total: int, done: int = 0) -> None:
        self.here = what

    def advance(self, text: str = "") -> None:
        if self.here.startswith(self.stage):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A demo that was interrupted twice on the way."""
    out = tmp_path_factory.mktemp("newcomer") / "demo"
    args = DemoArgs(out, minutes=0.1)
    for stage in ("training", "clicks: tree"):
        with pytest.raises(KeyboardInterrupt):
            run_demo(args, TINY, StopAt(stage))
        assert not (out / "report.html").exists()
    return args, run_demo(args, TINY, Quiet())


def test_the_page_tells_the_whole_story_and_needs_no_network(finished):
    _, path = finished
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    words = " ".join(page.words)
    for model in MODELS:
        assert words.count(model) >= 3
    for heading in ("Photos become trees", "Trees become lessons", "A robot clicks", "Make it again"):
        assert heading in words
    for column in ("NoC80", "NoC85", "NoC90", "NoC95", "mIoU@1", "s/click"):
        assert column in words
    assert page.counts["table"] == 7  # clicks, masks, work, differences, sizes, failures, all targets
    assert page.counts["svg"] == 2
    trees, composites, examples = 2 * 6, 3, 2 * (1 + len(RIVALS))
    hardest = text.count('alt="target ')
    assert page.counts["img"] == trees + composites + examples + hardest
    assert page.links
    assert all(link.startswith("data:image/jpeg;base64,") for link in page.links)
    markup = re.sub(r"data:image/jpeg;base64,[^\"]*", "", text)
    assert not re.search(r"https?:|//|@import|url\(|<script|<link|<iframe", markup)
    assert path.stat().st_size < 8_000_000


def test_interruptions_lose_nothing(finished):
    args, path = finished
    lines = [json.loads(line) for line in (args.out / "model" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    with sqlite3.connect(args.out / "trees.db") as store:
        before = store.execute("SELECT path, source_hash, cost FROM trees").fetchall()
    assert len(before) == 4
    kept = {file: file.stat().st_mtime_ns for file in (args.out / "results").iterdir()}
    assert len(kept) == len(MODELS)
    figures = Page(path.read_text(encoding="utf-8")).words
    again = Page(run_demo(args, TINY, Quiet()).read_text(encoding="utf-8")).words
    with sqlite3.connect(args.out / "trees.db") as store:
        assert store.execute("SELECT path, source_hash, cost FROM trees").fetchall() == before
    assert set(kept) == set((args.out / "results").iterdir())
    numbers = [[word for word in words if re.fullmatch(r"\d+\.\d{2}", word)] for words in (figures, again)]
    assert numbers[0] == numbers[1]
    assert len(numbers[0]) >= 4 * len(MODELS)


def test_the_model_and_the_targets_are_there_to_go_on_with(finished):
    args, _ = finished
    benchmark = load_benchmark("composites", args.out / "targets")
    assert len(benchmark) == TINY.targets
    target = benchmark.targets[0]
    image = target.image()
    segmenter = Segmenter.load(args.out / "model")
    segmenter.set_image(image)
    y, x = np.argwhere(target.mask(image.shape[:2]) == 255)[0]
    assert segmenter.predict([[x, y]], [1]).binary[y, x]


def test_targets_are_made_of_photos_that_are_not_trained_on(finished):
    args, _ = finished
    plan = json.loads((args.out / "plan.json").read_text())
    assert plan["asked"]["photos"] == ["learn/chelsea.png", "learn/rocket.jpg"]
    held_out = {file.name for file in (args.out / "photos" / "held-out").iterdir()}
    assert held_out == {"astronaut.png", "coffee.png"}


def test_another_seed_makes_another_demo_in_the_same_folder(finished, tmp_path):
    args, _ = finished
    before = (args.out / "model" / "model.safetensors").read_bytes()
    run_demo(DemoArgs(args.out, minutes=0.1, seed=1), TINY, Quiet())
    assert (args.out / "model" / "model.safetensors").read_bytes() != before


def test_a_folder_that_is_a_file_is_named(tmp_path):
    out = tmp_path / "demo"
    out.write_text("mine")
    with pytest.raises(DataError, match=r"demo.*cannot be written.*--out"):
        run_demo(DemoArgs(out), TINY, Quiet())
    assert out.read_text() == "mine"


def test_settings_that_make_no_sense_name_their_flag():
    with pytest.raises(ConfigError, match="--minutes 0 must be a number above 0"):
        DemoArgs(minutes=0)
    with pytest.raises(ConfigError, match="--seed -1"):
        DemoArgs(seed=-1)
