"""Whole studies on drawn photos: they train, click and print; stopped, they go on; a failure costs nobody else."""

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from clickgrain.errors import DataError
from clickgrain.progress import Quiet
from clickgrain.proposals.store import ProposalStore
from clickgrain.training import config as recipes
from clickgrain.training.config import Recipe
from studies.__main__ import main
from studies.config import StudyArgs
from studies.plans import STUDIES
from studies.run import choose_keys, run_study

ROOT = Path(__file__).parents[3]


class Bars(Quiet):
    """Keeps what it is told; may stop at a step of the training number `run`."""

    def __init__(self, run=None, step=1):
        self.trainings, self.notes, self.run, self.step = [], [], run, step
        self.what = ""

    def start(self, what, total, done=0):
        self.what, self.done = what, 0
        if what == "training":
            self.trainings.append(done)

    def advance(self, text=""):
        self.done += 1
        if (self.what, len(self.trainings), self.done) == ("training", self.run, self.step):
            raise KeyboardInterrupt

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(autouse=True)
def tiny(monkeypatch, settings, tiny_config, one_thread):
    """`grain-small` at a size that tests can wait for."""
    args = settings({"composites_per_photo": 0.5}, steps=2)
    monkeypatch.setitem(recipes.RECIPES, "grain-small", lambda: Recipe(tiny_config, args))


@pytest.fixture
def eval_set(tmp_path, drawn):
    """Four images with one mask each."""
    root = tmp_path / "eval"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    y, x = np.mgrid[:72, :96]
    for seed in range(4):
        image, mask = drawn(seed + 50), np.hypot(x - 45, y - 36) < 18
        image[mask] = (220, 30, 90)
        cv2.imwrite(str(root / "images" / f"e{seed}.png"), image)
        cv2.imwrite(str(root / "masks" / f"e{seed}#0.png"), mask.astype(np.uint8) * 255)
    return root


@pytest.fixture
def args(photos, eval_set, tmp_path):
    def make(study="connectivity", **changes):
        given = {
            "photos": photos, "data": f"drawn={eval_set}", "out": tmp_path / "out", "recipe": "grain-small",
            "extractor": "color-texture", "device": "cpu", "photos_limit": 4, "data_limit": 1,
        }  # fmt: skip
        return StudyArgs(study, **(given | changes))

    return make


def table_of(folder, study):
    """The saved table, without times."""
    rows = json.loads((folder / f"{study}.json").read_text())["rows"]
    for row in rows:
        row.pop("seconds")
        row["figures"].pop("merge ms", None)
    return rows


def test_a_stopped_study_goes_on_and_ends_as_one_that_was_not(args, tmp_path):
    settings = args("connectivity", seeds=(0, 1), variants=("3",))
    table = run_study(settings, Bars())
    assert [row.error for row in table.rows] == [None] * 2
    assert [len(row.seeds) for row in table.rows] == [2] * 2
    assert {"NoC85", "mIoU@1", "best node IoU", "AR@100", "merge ms"} <= set(table.rows[1].figures)
    assert "4 photos, 2 steps of 2 crops of 64 px, seed 0, 1; targets of drawn: 1, images: 1." in table.size
    stopped = replace(settings, out=tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        run_study(stopped, Bars(run=3))
    assert len(table_of(stopped.out, "connectivity")) == 1
    bars = Bars()
    run_study(stopped, bars)
    assert bars.trainings == [1, 0]  # the third run goes on after its first step, two were done
    assert table_of(stopped.out, "connectivity") == table_of(settings.out, "connectivity")
    bars = Bars()
    run_study(stopped, bars)
    assert bars.trainings == []


def test_studies_in_one_folder_share_runs(args):
    run_study(args("smoothness", variants=("3",)), Bars())
    bars = Bars()
    table = run_study(args("maps", variants=("only disks and previous mask",), data_limit=2), bars)
    assert "targets of drawn: 2" in table.size
    assert len(bars.trainings) == 1
    assert len(list((args().out / "runs").iterdir())) == 3


def test_a_variant_that_cannot_be_run_says_why(args, tmp_path):
    bars = Bars()
    table = run_study(args("extractors", extractors=(str(tmp_path / "none"), "color-texture")), bars)
    assert [row.error is None for row in table.rows] == [True, False]
    assert "none" in table.rows[1].error
    assert "not run" in (tmp_path / "out" / "extractors.md").read_text()


def test_labels(args):
    table = run_study(args("labels", shares=(0.5, 1.0), data_limit=None), Bars())
    assert [row.error for row in table.rows] == [None] * 5
    assert [name for name, _ in table.curves] == ["no labels", "fine-tuned", "from scratch"]
    assert [round(x, 3) for x, _ in table.curves[1][1]] == [1.699, 2.0]
    assert "2 masks of 2 images of drawn, drawn at random; the targets are on the other 2." in table.size
    assert "<svg" in (args().out / "labels.html").read_text()


def test_labels_of_a_set_of_their_own(args, eval_set):
    settings = args("labels", shares=(1.0,), labelled=f"other={eval_set}", variants=("2",))
    table = run_study(settings, Bars())
    assert "4 masks of 4 images of other" in table.size
    assert len(table.rows) == 2


def test_other_proposal_sources_train(args):
    table = run_study(args("proposals", variants=("2", "6")), Bars())
    assert [row.error for row in table.rows] == [None] * 3
    assert len(list((args().out / "runs").iterdir())) == 3
    (trees,) = (args().out / "trees").glob("*.db")
    assert ProposalStore(trees).keys() == sorted(choose_keys(args().photos, 4))


def test_photos_are_chosen_by_hash(photos):
    keys = choose_keys(photos, None)
    assert len(keys) == 6
    assert choose_keys(photos, 3) == keys[:3]
    first = keys[0]
    (photos / first).unlink()
    assert choose_keys(photos, 3) == keys[1:4]


def test_no_photos(args, tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        run_study(args(photos=tmp_path / "nowhere"), Bars())


def test_the_command(args, capsys):
    a = args(variants=("2",))
    line = [a.study, "--photos", a.photos, "--data", a.data, "--out", a.out, "--recipe", "grain-small"]
    line += ["--extractor", "color-texture", "--photos-limit", 4, "--data-limit", 1, "--variants", 2]
    assert main([str(word) for word in line]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("## Connectivity")
    assert "| 8 neighbours |" in shown
    assert shown.rstrip().endswith("connectivity.html")


def test_the_lists(capsys):
    assert main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(STUDIES)
    assert main(["connectivity", "--list"]) == 0
    assert capsys.readouterr().out.splitlines() == [" 1 4 neighbours", " 2 8 neighbours", " 3 no constraint"]


def test_what_is_missing_is_named(capsys, tmp_path):
    assert main(["maps", "--photos", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("--data is missing; write python -m studies NAME")


def test_every_flag_is_documented(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")  # no line of the help is wrapped
    assert main(["--help"]) == 0
    flags = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out)) - {"--help"}
    documented = re.findall(r"^\| (`.*?) \| \S", (ROOT / "docs" / "studies.md").read_text(), re.MULTILINE)
    assert flags == {flag for cell in documented for flag in re.findall(r"`(--[a-z][a-z-]+)", cell)}
