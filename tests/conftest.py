"""What every test runs under, and what several of them share."""

import copy
import os

import pytest

# Read when torch loads: one thread each, so that parallel test processes do not starve each other at barriers.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_GRAPHS = {}


@pytest.fixture(scope="module")
def traced_once():
    """torch's exporter traces a model for ten seconds, to the same graphs each time: once a session is enough."""
    from clickgrain.models import onnx_export

    trace = onnx_export._graphs

    def graphs(model):
        weights = tuple(hash(value.numpy().tobytes()) for value in model.state_dict().values())
        key = type(model), repr(model.config), weights
        if key not in _GRAPHS:
            _GRAPHS[key] = trace(model)
        return copy.deepcopy(_GRAPHS[key])  # which other precisions change in place

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_export, "_graphs", graphs)
        yield
