"""The tool that draws the packages and their imports."""

import importlib.util
import re
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location(
    "draw_architecture", Path(__file__).parents[2] / "tools" / "draw_architecture.py"
)
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)


@pytest.fixture
def source(tmp_path):
    files = {
        "errors.py": "",
        "images/reader.py": "from clickgrain.errors import X\nfrom clickgrain.images.codecs import y\n",
        "tree/build.py": (
            "from typing import TYPE_CHECKING\nfrom clickgrain.images import a\nfrom clickgrain.errors import X\n"
            "if TYPE_CHECKING:\n    from clickgrain.cli import main\n"
        ),
        "cli.py": "def main():\n    from clickgrain.tree import build\n",
        "__init__.py": "from clickgrain.cli import main\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_imports_inside_functions_count_and_those_for_type_checking_do_not(source):
    graph = tool.imports(source)
    assert graph == {"errors": set(), "images": {"errors"}, "tree": {"images", "errors"}, "cli": {"tree"}}


def test_every_package_stands_above_what_it_imports(source):
    assert tool.floors(tool.imports(source)) == {"errors": 0, "images": 1, "tree": 2, "cli": 3}
    with pytest.raises(ValueError, match=r"circle of imports among \['a', 'b'\]"):
        tool.floors({"a": {"b"}, "b": {"a"}})


def test_arrows_that_others_imply_are_left_out(source):
    graph = tool.imports(source)
    assert tool.reduced(graph) == [("cli", "tree"), ("images", "errors"), ("tree", "images")]
    drawn = tool.draw(graph)
    assert drawn.count('<path d="M') == 3 + 1  # and the tip
    assert re.findall(r">(\w+)</text>", drawn) == ["cli", "errors", "images", "tree"]


def test_a_drawing_that_is_out_of_date_fails(source, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, "SOURCE", source)
    monkeypatch.setattr(tool, "DRAWING", tmp_path / "drawing.svg")
    assert tool.main(["--check"]) == 1
    assert "python tools/draw_architecture.py" in capsys.readouterr().err
    assert tool.main([]) == 0
    assert tool.main(["--check"]) == 0
    (source / "errors.py").write_text("from clickgrain.jit import njit\n")
    (source / "jit.py").write_text("")
    assert tool.main(["--check"]) == 1
