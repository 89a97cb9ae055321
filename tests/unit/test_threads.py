"""How OpenMP's threads wait when the package is imported, seen from processes of their own."""

import os
import subprocess
import sys

import pytest


def policy(code, **environment):
    """OMP_WAIT_POLICY after some code, started without one unless given."""
    clean = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    code += "; import os; print(os.environ.get('OMP_WAIT_POLICY'))"
    run = subprocess.run(
        [sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


@pytest.mark.parametrize("code", ["import clickgrain", "import clickgrain.types", "from clickgrain import Mask"])
def test_threads_wait_passively_once_the_package_is_imported(code):
    assert policy(code) == "PASSIVE"


def test_the_user_s_own_choice_wins():
    assert policy("import clickgrain", OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"


def test_nothing_is_touched_once_torch_has_read_it():
    assert policy("import torch, clickgrain") == "None"
