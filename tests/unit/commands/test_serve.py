"""`clickgrain serve`: settings that are refused before anything is loaded, and a server that answers."""

import re
import subprocess
import sys
import urllib.request

import pytest

from clickgrain.commands.serve import ServeArgs
from clickgrain.errors import ConfigError


@pytest.mark.parametrize(
    ("tool", "settings", "words"),
    [
        ("label-studio", {"level": 2}, "--level 2"),
        ("label-studio", {"port": 70_000}, "--port"),
        ("label-studio", {"memory": 1}, "--memory"),
        ("label-studio", {"url": "localhost:8080"}, "--url"),
        ("label-studio", {"root": "nowhere"}, "--root"),
        ("label-studio", {"host": "elsewhere"}, "--host"),
        ("label-studio", {"host": "0.0.0.0"}, "give a --password"),
        ("label-studio", {"whole_image": True}, "--whole-image is not for label-studio"),
        ("label-studio", {"function": 3}, "--function is not for label-studio"),
        ("label-studio", {"same": "photos"}, "--same is not for label-studio"),
        ("cvat", {"same": "photos", "level": 0.5}, "--same goes neither with"),
        ("cvat", {"same": "photos", "whole_image": True}, "--same goes neither with"),
        ("cvat", {"port": 9}, "--port is not for cvat"),
        ("cvat", {"allow_host": ("a",)}, "--allow-host is not for cvat"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tool, settings, words, tmp_path):
    if "root" in settings:
        settings = {"root": tmp_path / settings["root"]}
    with pytest.raises(ConfigError, match=words):
        ServeArgs(tool, **settings)


def test_other_machines_need_a_password():
    assert ServeArgs("label-studio", host="0.0.0.0", password="secret").host == "0.0.0.0"


def test_it_prints_its_address_and_answers():
    command = [sys.executable, "-m", "clickgrain", "serve", "label-studio", "--model", "tree", "--port", "0"]
    served = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = served.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
        with urllib.request.urlopen(f"{address}/health", timeout=60) as answer:
            assert b'"status":"UP"' in answer.read()
    finally:
        served.terminate()
        _, said = served.communicate(timeout=60)
    assert "Traceback" not in said
