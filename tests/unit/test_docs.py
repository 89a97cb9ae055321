"""The documentation site builds without a warning, and what its pages tell a newcomer to type works."""

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
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
WAITING = {"annotate", "learn", "serve", "train", "finetune", "demo", "bench"}
"""Commands that wait for somebody or take minutes: their words are taken apart, they are not run."""
ELSEWHERE = re.compile(r"s3://|facebook/|--engine ray|cuda|DIR|benchmark_RELEASE")
"""Neither are lines with these: they need a network, a GPU, a cluster or a data set."""
OTHERS = {"git", "cd", "npm", "tar", "napari", "nuctl", "label-studio", "cvat-cli"}
"""Programs that are not ours."""
EVAL = """
from pathlib import Path
import numpy as np
from PIL import Image
for name in ("photos/eval/images", "photos/eval/masks", "GrabCut/data_GT", "GrabCut/boundary_GT"):
    Path(name).mkdir(parents=True)
image, mask = np.zeros((40, 50, 3), np.uint8), np.zeros((40, 50), np.uint8)
image[10:30, 10:30], mask[10:30, 10:30] = 200, 255
for name in ("photos/eval/images/a.png", "GrabCut/data_GT/a.png"):
    Image.fromarray(image).save(name)
for name in ("photos/eval/masks/a#1.png", "GrabCut/boundary_GT/a.png"):
    Image.fromarray(mask).save(name)
"""
GIVEN = {
    "docs/benchmarks.md": EVAL,
    "docs/commands.md": EVAL
    + """
import json
from clickgrain.features import load_extractor
from clickgrain.proposals.pipeline import propose
propose("photos", "shards/1.db", extractor=load_extractor("color-texture"), progress=False)
Image.open("frames/00000.png").resize((400, 320)).save("frames/00030.png")
Image.open("frames/00001.png").resize((400, 320)).save("frames/00031.png")
for number in range(4):
    Path(f"frames/{number:05}.png").unlink()
about = {"id": 1, "file_name": "cat.jpg", "height": 300, "width": 451}
thing = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[10, 10, 60, 10, 60, 60]]}
coco = {"images": [about], "categories": [{"id": 1, "name": "cat"}], "annotations": [thing]}
Path("annotations.json").write_text(json.dumps(coco))
""",
    "docs/scale.md": """
from pathlib import Path
Path("photos/album").mkdir()
Path("photos/cat.jpg").rename("photos/album/cat.jpg")
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
"""What a page takes for granted besides the folder."""
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
    for path in sorted(path for path in Path(photos).iterdir() if path.suffix in (".png", ".tif", ".jpg")):
        height, width = np.asarray(Image.open(path)).shape[:2]
        shapes = [{"label": "thing", "points": box, "shape_type": "rectangle", "flags": {}} for box in boxes]
        head = {"version": "5.0", "flags": {}, "imageData": None, "imageHeight": height, "imageWidth": width}
        path.with_suffix(".json").write_text(json.dumps({**head, "shapes": shapes, "imagePath": path.name}))
    assert cli.main(["import", photos, photos]) == 0


class Hub:
    """Hugging Face, in memory of nothing."""

    def __init__(self, token=None):
        pass

    def create_repo(self, repo_id, **_):
        pass

    def upload_folder(self, **_):
        return "https://huggingface.co/user/other/commit/1"


@pytest.fixture
def others(folder, monkeypatch):
    """What pages name that is not here: Hugging Face, a model of one's own, Segment Anything."""
    package = Path(weights.__file__).parent / "data" / "default"
    shutil.copytree(package, "my-model")
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: str(package))
    monkeypatch.setitem(sys.modules, "segment_anything", MagicMock())


def pages():
    return [path.relative_to(ROOT).as_posix() for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))]


def blocks(page):
    """(language, text) of its blocks of code; "text" is what a command answers."""
    found = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    assert {language for language, _ in found} <= {"", "python", "text", "xml", "yaml"}
    return found


def typed(text):
    """The words of each command in a block."""
    for line in text.replace("\\\n", " ").replace("&&", "\n").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):  # a variable of the environment
            words = words[1:]
        if words:
            yield words


def run(words, capsys):
    """Run a line of `clickgrain`, or take it apart where it cannot be run here."""
    command = next((one for one in cli.COMMANDS if one.name == words[1]), None)
    assert command is not None, words
    if words[1] in ("export", "replay"):
        annotated(words[2])
    if words[1] not in WAITING and not ELSEWHERE.search(" ".join(words)):
        assert cli.main(words[1:]) == 0, capsys.readouterr().err
        return
    with contextlib.suppress(ConfigError):  # of a value, such as a device that is not here
        stop, arguments = parsing.parse(parsing.arguments_of(command.function()), words[2:], prog="clickgrain")
        assert stop is None, words
        if words[1] == "annotate":
            photos = Path(arguments.photos)
            if photos.suffix == ".tif":
                photos = split_pages(photos, Quiet())  # as `annotate` does before it waits
            assert photos.is_dir()


def check(words):
    """What a line of another program names is in the repository."""
    first, *rest = words
    if first == "make":
        assert re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text(), re.M), words
    elif first == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        extras = re.findall(r"clickgrain\[([\w-]+)\]", " ".join(rest))
        assert set(extras) <= set(project["optional-dependencies"]), words
    elif first == "python" and rest[0] == "-m":
        package, *name = rest[1].split(".")
        name = name or [f"bench_{rest[2]}"] if package == "benchmarks" else []
        assert (ROOT / package).is_dir(), words
        assert all((ROOT / package / f"{part}.py").is_file() for part in name), words
    elif first == "python":
        assert (ROOT / rest[0]).is_file(), words
    else:
        assert first in OTHERS, words


@pytest.mark.usefixtures("traced_once")
@pytest.mark.parametrize("page", [page for page in pages() if blocks(page)])
def test_what_a_page_says_can_be_typed_from_top_to_bottom(page, others, capsys):
    """Python is run, and so is every command that ends by itself here."""
    names = {}
    exec(compile(GIVEN.get(page, ""), page, "exec"), names)
    for language, text in blocks(page):
        if language == "python":
            exec(compile(text, page, "exec"), names)
        for words in typed(text) if language == "" else []:
            if words[0] == "clickgrain":
                run(words, capsys)
            elif words[:2] == ["python", "-c"]:
                exec(compile(words[2], page, "exec"), {})
            elif words[0] == "torchrun":  # ... -m clickgrain train ...
                run(words[words.index("clickgrain") :], capsys)
            else:
                check(words)


def test_the_site_builds_without_a_warning():
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "build_docs.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_page_of_docs_is_on_the_site():
    named = set(re.findall(r'"([\w/.-]+\.md)"', (ROOT / "zensical.toml").read_text(encoding="utf-8")))
    assert {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")} == named
