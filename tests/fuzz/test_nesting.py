"""JSON nested deeper than Python follows is damage like any other."""

import pytest

from clickgrain.annotate.accepted import learned_from
from clickgrain.annotate.learning import PROGRESS, is_unfinished, progress_of
from clickgrain.annotate.models import ModelInfo, describe_model, is_labelled
from clickgrain.errors import DataError, WeightsError
from clickgrain.evaluation import Result
from clickgrain.evaluation.tree_quality import TreeQuality

DEEP = "[" * 100_000


@pytest.mark.parametrize("read", [Result.from_json, TreeQuality.from_json])
def test_evaluations(read):
    with pytest.raises(DataError, match="evaluate again"):
        read(DEEP)


def test_models_and_runs(tmp_path):
    for name in ("config.json", "run.json", PROGRESS):
        (tmp_path / name).write_text(DEEP)
    assert not is_labelled(str(tmp_path))
    assert learned_from(ModelInfo("1", "m", "grain", "0", str(tmp_path))) == set()
    assert not is_unfinished(tmp_path, 30.0)
    assert progress_of(tmp_path) == (0, 0, "starting")
    with pytest.raises(WeightsError, match="not valid JSON"):
        describe_model(str(tmp_path))
