"""The documentation site builds without a warning, and what its pages tell a newcomer to type works."""

import contextlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from unittest.mock import MagicMock

import cv2
import huggingface_hub
import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import data

from clickgrain import cli, weights
from clickgrain.commands import parsing
from clickgrain.errors import ConfigError
from clickgrain.images.pages import split_pages
from clickgrain.progress import Quiet

ROOT = Path(__file__).parents[2]
PAGES = [
    "docs/index.md",
    "docs/onnx.md",
    *(f"docs/guides/{name}.md" for name in ["cells", "aerial", "products", "frames"]),
]
WAITING = {"annotate", "learn"}
"""Commands that wait for a browser or train for an hour: their words are checked, they are not run."""
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def scene(shift=0):
    """160 x 200 x 3 uint8 with three disks."""
    y, x = np.mgrid[:160, :200]
    image = np.full((160, 200, 3), (50, 70, 60), np.uint8)
    for cx, cy, color in ((50, 48, (220, 150, 60)), (140, 60, (90, 120, 220)), (90, 120, (200, 90, 160))):
        image[np.hypot(x - cx - shift, y - cy) < 24] = color
    return image


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """What the pages take for granted: images, and objects that somebody annotated."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLICKGRAIN_CACHE", str(tmp_path / "cache"))
    for name in ("photos", "shelves", "frames"):
        Path(name).mkdir()
    for name in ("photos/cat.jpg", "cat.jpg"):
        Image.fromarray(data.chelsea()).save(name)
    Image.fromarray(scene()).save("shelves/a.png")
    for number in range(4):
        Image.fromarray(scene(2 * number)).save(f"frames/{number:05}.png")
    gray = cv2.cvtColor(scene(), cv2.COLOR_RGB2GRAY).astype(np.uint16) * 200
    tifffile.imwrite("stack.tif", np.stack([gray, gray, gray]), photometric="minisblack")
    Image.fromarray(np.tile(scene(), (8, 7, 1))).save("scene.tif")
    return tmp_path


def annotated(photos):
    """Two boxes of a label in every image of a folder."""
    boxes = [[[30, 28], [70, 68]], [[120, 40], [160, 80]]]
    for path in sorted(Path(photos).glob("*.[pt]*")):
        height, width = np.asarray(Image.open(path)).shape[:2]
        shapes = [{"label": "thing", "points": box, "shape_type": "rectangle", "flags": {}} for box in boxes]
        head = {"version": "5.0", "flags": {}, "imageData": None, "imageHeight": height, "imageWidth": width}
        path.with_suffix(".json").write_text(json.dumps({**head, "shapes": shapes, "imagePath": path.name}))
    assert cli.main(["import", photos, photos]) == 0


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_says_can_be_typed_from_top_to_bottom(page, folder, capsys):
    names, ran = {}, 0
    for language, text in BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(text, page, "exec"), names)
            ran += 1
        for line in text.splitlines() if language in ("", "sh") else []:
            words = shlex.split(line, comments=True)
            if not words or words[0] != "clickgrain":
                continue
            command = next(one for one in cli.COMMANDS if one.name == words[1])
            if words[1] == "export":
                annotated(words[2])
            if words[1] in WAITING:
                kind = parsing.arguments_of(command.function())
                stop, arguments = parsing.parse(kind, words[2:], prog="clickgrain")
                assert stop is None
                photos = Path(arguments.photos)
                if photos.suffix == ".tif":
                    photos = split_pages(photos, Quiet())  # as `annotate` does before it waits
                assert photos.is_dir()
            else:
                assert cli.main(words[1:]) == 0, capsys.readouterr().err
            ran += 1
    assert ran >= 2


GIVEN = {
    "README.md": "",
    "docs/sam.md": "",
    "docs/benchmarks.md": "",
    "docs/hub.md": "",
    "docs/scale.md": """
from clickgrain.features import load_extractor
from clickgrain.proposals.pipeline import propose
propose("photos", "shards/1.db", extractor=load_extractor("color-texture"), progress=False)
""",
    "docs/report.md": """
import numpy as np
from clickgrain.evaluation import Benchmark, evaluate
from clickgrain.segmenter import Segmenter
image, mask = np.zeros((40, 50, 3), np.uint8), np.zeros((40, 50), bool)
image[10:30, 10:30], mask[10:30, 10:30] = 200, True
benchmark = Benchmark.of([(image, mask)], "mine")
results = [evaluate(Segmenter.load("tree"), benchmark)]
""",
}
"""Python of the other pages, and what each takes for granted."""


@pytest.mark.parametrize("page", GIVEN)
def test_python_of_the_other_pages_runs(page, folder, monkeypatch):
    class Hub:
        """Hugging Face, in memory of nothing."""

        def __init__(self, token=None):
            pass

        def create_repo(self, repo_id, **_):
            pass

        def upload_folder(self, **_):
            return "https://huggingface.co/user/other/commit/1"

    (folder / "album").mkdir()
    (folder / "photos" / "album").mkdir()
    (folder / "photos" / "cat.jpg").rename(folder / "photos" / "album" / "cat.jpg")
    package = Path(weights.__file__).parent / "data" / "default"
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: str(package))
    monkeypatch.setitem(sys.modules, "segment_anything", MagicMock())  # in the place of what a page imports
    names = {}
    exec(compile(GIVEN[page], page, "exec"), names)
    blocks = [text for language, text in BLOCK.findall((ROOT / page).read_text("utf-8")) if language == "python"]
    for text in blocks:
        exec(compile(text, page, "exec"), names)
    assert blocks


def pages():
    return [path.relative_to(ROOT).as_posix() for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))]


def test_no_python_of_a_page_is_left_out():
    with_python = {page for page in pages() if "\n```python\n" in (ROOT / page).read_text("utf-8")}
    assert with_python <= {*PAGES, *GIVEN}


@pytest.mark.parametrize("page", pages())
def test_every_command_of_a_page_has_flags_that_exist(page, folder):
    """The words are taken apart; what they name need not be here."""
    for language, text in BLOCK.findall((ROOT / page).read_text("utf-8")):
        lines = text.replace("\\\n", " ").splitlines() if language in ("", "sh") else []
        for line in "\n".join(lines).replace("&&", "\n").splitlines():
            words = shlex.split(line, comments=True)
            if "clickgrain" not in words or words[0] in ("git", "cd"):
                continue
            name, *rest = words[words.index("clickgrain") + 1 :]
            command = next((one for one in cli.COMMANDS if one.name == name), None)
            assert command is not None, line
            with contextlib.suppress(ConfigError):  # of a value, such as a folder that is not here
                stop, _ = parsing.parse(parsing.arguments_of(command.function()), rest, prog="clickgrain")
                assert stop is None, line


def test_the_site_builds_without_a_warning():
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "build_docs.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_page_of_docs_is_on_the_site():
    named = set(re.findall(r'"([\w/.-]+\.md)"', (ROOT / "zensical.toml").read_text(encoding="utf-8")))
    assert {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")} == named
