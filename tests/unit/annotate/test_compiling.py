"""What the page is told while numba compiles: once on a machine, for its first image."""

import os
import re
import subprocess
import sys
import threading
import time

import httpx2
import numba
import pytest

from clickgrain.annotate import encoder
from clickgrain.annotate.encoder import JitStatus


@pytest.fixture
def listener():
    listener = JitStatus()
    yield listener
    listener.close()


def fresh():
    """A function that nobody has compiled."""
    return numba.njit(lambda x: x + 1)


def test_it_is_on_while_a_function_compiles_and_a_moment_longer(listener, monkeypatch):
    monkeypatch.setattr(encoder, "LINGERS", 60.0)
    assert not listener.is_on
    function = fresh()
    function(1)
    assert listener.is_on  # the next function follows at once as a rule
    monkeypatch.setattr(encoder, "LINGERS", 0.0)
    assert not listener.is_on
    function(2)  # compiled already
    monkeypatch.setattr(encoder, "LINGERS", 60.0)
    before = listener._ended
    function(3)
    assert listener._ended == before


def test_the_first_time_is_told_once(listener):
    told = []
    listener.on_first = lambda: told.append(threading.current_thread())
    fresh()(1)
    fresh()(1)
    assert told == [threading.current_thread()]


def test_nothing_is_heard_once_closed(listener, monkeypatch):
    monkeypatch.setattr(encoder, "LINGERS", 60.0)
    listener.close()
    fresh()(1)
    assert not listener.is_on


def test_what_is_compiled_already_is_not_told(client, project):
    assert client.get("/api/images/1/hover").status_code == 200  # from numba's cache by now
    project.jit._ended = float("-inf")
    assert client.get("/api/images/2/hover").status_code == 200
    assert client.get("/api/state").json()["compiling"] is False
    assert client.get("/api/changes", params={"since": 0}).json()["compiling"] is False


@pytest.mark.parametrize("model", ["tree", "tiny"])
def test_the_first_image_gets_all_ready_that_clicks_need(photos, tiny, model):
    """In a process of its own: after the first image no click of any kind loads or compiles a function."""
    code = f"""
import sys, time, numba
from pathlib import Path
from clickgrain.annotate import actions
from clickgrain.annotate.project import Project
from clickgrain.annotate.requests import IMAGE_REQUEST, Posted
def functions():
    modules = [module for name, module in sys.modules.items() if name.startswith("clickgrain.")]
    return {{(value.__name__, signature) for module in modules for value in vars(module).values()
            if hasattr(value, "nopython_signatures") for signature in value.nopython_signatures}}
project = Project(Path({str(photos)!r}), model={"tree" if model == "tree" else str(tiny)!r})
project.scene(1)
end = time.monotonic() + 120
while project._rehearsed is None and time.monotonic() < end:
    time.sleep(0.01)
project.encoder.close()  # waits for what is at hand
before = functions()
assert {{"_merge", "_assign"}} <= {{name for name, _ in before}}, before
click = dict(type="click", x=20, y=20)
steps = [click, dict(click, x=50, label=0), dict(type="scribble", points=[[20, 20], [25, 25]]),
         dict(type="box", box=[5, 5, 40, 40]), dict(type="level", level=0.5), dict(click, y=24)]
for step in steps:
    seq = project.logs.history(1).seq
    action = dict(kind="object.add_steps", object=1 if seq else None, steps=[step])
    actions.act(project, 1, Posted(seq=seq, active=0.0), IMAGE_REQUEST.validate_python(action))
print(sorted(functions() - before))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"


def test_a_bare_machine_tells_the_page_and_the_terminal(photos, tmp_path):
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(tmp_path / "bare"),
        "CLICKGRAIN_CACHE": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-m", "clickgrain", "annotate", str(photos), "--no-browser", "--port", "0"]
    command += ["--model", "tree"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        try:
            address = process.stdout.readline().decode().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
            with httpx2.Client(base_url=address, timeout=60) as client:
                end = time.monotonic() + 120
                while not client.get("/api/changes", params={"since": 0}).json()["compiling"]:
                    assert time.monotonic() < end
                    time.sleep(0.05)
                assert client.get("/api/state").json()["compiling"] is True
        finally:
            process.kill()  # nobody waits for the end: it takes up to a minute
        assert b"compiling for this machine, once" in process.stderr.read()
