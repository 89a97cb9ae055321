import subprocess
import sys

import pytest

import clickgrain.evaluation as evaluation


def test_settings_load_nothing_heavy():
    code = (
        "import sys; from clickgrain.evaluation.config import EvaluationSettings;"
        "sys.exit(bool({'cv2', 'torch', 'numba', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", evaluation.__all__)
def test_every_public_name_resolves(name):
    assert getattr(evaluation, name) is not None
    assert name in dir(evaluation)


def test_other_names_do_not():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = evaluation.nonsense
