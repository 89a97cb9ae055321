"""`train` on photos and a store at URLs: the model of a local folder, whatever the line does meanwhile."""

import sys
from pathlib import Path

import fsspec
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "images"))
from servers import s3, web_of

from clickgrain.images import remote
from clickgrain.progress import Quiet
from clickgrain.proposals.pipeline import propose
from clickgrain.training import config as recipes
from clickgrain.training.config import LearnArgs, Recipe
from clickgrain.training.learn import train

SMALL = 60_000.0  # bytes: about two of the photos, so that the others are read again while the network trains


class Bars(Quiet):
    """Keeps what is said; `on` is called when training begins."""

    def __init__(self, on=lambda: None):
        self.notes, self.on = [], on

    def start(self, what, total=None, done=0):
        if what == "training":
            self.on()

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(autouse=True)
def tiny(monkeypatch, settings, tiny_config, one_thread, few_robot_clicks, tmp_path):
    monkeypatch.setenv("CLICKGRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "PAUSE", 0.001)
    monkeypatch.setattr(LearnArgs, "memory_bytes", property(lambda self: SMALL))
    monkeypatch.setitem(recipes.RECIPES, "grain-small", lambda: Recipe(tiny_config, settings(steps=3)))


@pytest.fixture
def local(photos, tmp_path, extractor):
    """The photos, their store, and the model that a local run makes of them."""
    propose(photos, tmp_path / "trees.db", extractor=extractor, progress=False, workers=1)
    return photos, tmp_path / "trees.db", run(photos, tmp_path / "trees.db", tmp_path / "local")


def run(photos, store, out, bars=None):
    given = {"device": "cpu", "recipe": "grain-small", "extractor": "color-texture", "from_scratch": True}
    result = train(LearnArgs(str(photos), out, store=str(store), **given), bars or Quiet())
    return (out / "model.safetensors").read_bytes(), result


def test_a_bucket_gives_the_model_of_the_folder(local, tmp_path, monkeypatch):
    photos, store, (weights, _) = local
    with s3(monkeypatch, "bucket") as bucket:
        system = fsspec.filesystem("s3")
        system.put(str(photos), "bucket/photos", recursive=True)
        system.put(str(store), "bucket/shards/1.db")
        bars = Bars()
        again, result = run(f"{bucket}/photos", f"{bucket}/shards", tmp_path / "remote", bars)
    assert again == weights
    assert (result.photos, result.failed) == (local[2][1].photos, [])
    assert any("are read ahead" in note for note in bars.notes)


@pytest.fixture
def listed(photos, tmp_path, extractor):
    """A web server with the photos, a list of their addresses, and the store."""
    files = {path.relative_to(photos).as_posix(): path.read_bytes() for path in sorted(photos.rglob("*.png"))}
    with web_of(files) as web:
        (tmp_path / "urls.txt").write_text("".join(f"{web.url}/{name}\n" for name in files))
        propose(tmp_path / "urls.txt", tmp_path / "web.db", extractor=extractor, progress=False, workers=1)
        yield web, tmp_path / "urls.txt", tmp_path / "web.db"


def test_a_line_that_breaks_while_the_network_trains_changes_no_weight(listed, tmp_path):
    web, urls, store = listed
    weights, _ = run(urls, store, tmp_path / "whole")

    def disturb():
        web.asked.clear()
        web.broken, web.cut = dict.fromkeys(web.files, 2), dict.fromkeys(web.files, 1)

    again, result = run(urls, store, tmp_path / "broken", Bars(disturb))
    assert len(web.asked) > 4  # in vain, and again
    assert (again, result.failed) == (weights, [])


def test_a_photo_that_is_gone_while_the_network_trains_is_named(listed, tmp_path):
    web, urls, store = listed

    def disturb():
        web.broken = {name: 1_000_000 for name in web.files if name != "p0.png"}

    bars = Bars(disturb)
    _, result = run(urls, store, tmp_path / "run", bars)
    assert result.fit.steps == 3
    assert result.failed
    assert all(web.url in reason and "p0.png" not in reason for reason in result.failed)
    assert [note for note in bars.notes if note.startswith(f"left out for now: {web.url}")]
