"""Whatever an evaluation's file or a run's folder holds, it is read, or left aside, or refused in words."""

import json

import pytest

from clickgrain.annotate.accepted import learned_from
from clickgrain.annotate.learning import PROGRESS, is_unfinished, progress_of
from clickgrain.annotate.models import ModelInfo
from clickgrain.annotate.team import read_users
from clickgrain.clicks.robot import Drawn
from clickgrain.errors import ConfigError, DataError
from clickgrain.evaluation import Result
from clickgrain.evaluation.config import EvaluationSettings
from clickgrain.evaluation.result import TargetResult
from clickgrain.evaluation.tree_quality import TreeQuality, TreeRow
from tests.fuzz.hostile import assert_named, changed_bytes, changed_json

pytestmark = pytest.mark.timeout(0)


def row(name):
    box = Drawn("box", ((1.0, 2.0), (9.0, 9.0)), 1)
    ious = (0.4, 0.8, 0.96)
    return TargetResult(
        name, name[0], 0.1, "small", ious, ious, (0, 0, 1), ((3, 3, 1), (5, 5, 0)), ious, 0.1, None, ((0, box),)
    )


RESULT = Result(
    "m", "b", "robot", EvaluationSettings(), (row("a#1"), row("b#1")), ("note",), ("c: no mask",)
).to_json()
TREES = TreeQuality("t", "b", (8, 64), (TreeRow("a#1", "a", 0.1, "small", 0.5, 0.3, (0.4, 0.5), 0.1),)).to_json()


@pytest.mark.parametrize(("kind", "good"), [(Result, RESULT), (TreeQuality, TREES)], ids=["clicks", "trees"])
def test_evaluations(search, kind, good):
    def check(drawn):
        text = drawn.decode("utf-8", "replace") if isinstance(drawn, bytes) else json.dumps(drawn)
        assert_named("", lambda: kind.from_json(text), DataError)

    kind.from_json(good)
    search(changed_bytes([good.encode()]) | changed_json([json.loads(good)]), check)


PROGRESSED = {"stage": "training", "done": 4, "total": 100, "each": 2.0, "text": "loss 1"}
ASKED = {"asked": {"minutes": 5.0}, "labels": "ab", "objects": ["a#1"]}


def test_the_folder_of_a_run(search, tmp_path):
    """What the server reads of it, which another user may have written."""

    def check(drawn):
        content = drawn if isinstance(drawn, bytes) else json.dumps(drawn).encode("utf-8", "surrogatepass")
        for name in (PROGRESS, "run.json"):
            (tmp_path / name).write_bytes(content)
        done, total, text = progress_of(tmp_path)
        assert 0 <= done < 2**60
        assert 0 <= total < 2**60
        assert isinstance(text, str)
        assert is_unfinished(tmp_path, 5.0, "ab") in (True, False)
        assert all(isinstance(name, str) for name in learned_from(ModelInfo("1", "m", "grain", "0", str(tmp_path))))

    documents = [PROGRESSED, ASKED]
    search(changed_json(documents) | changed_bytes([json.dumps(one).encode() for one in documents]), check)


def test_users(search, tmp_path):
    path = tmp_path / "users.txt"

    def check(content):
        path.write_bytes(content)
        assert_named(str(path), lambda: [f"{path}", read_users(path), read_users(path)], ConfigError)

    search(changed_bytes([b"# people\nAda=12345678\nBo # with no token\n\nC D=abcdefgh"]), check)
