"""The floor plan: a module imports only from its own floor or the floors below."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import clickgrain

ROOT = Path(clickgrain.__file__).parent
FLOORS = (
    ("errors", "types", "jit"),
    ("devices", "events", "files", "images", "progress", "sqlite", "weights"),
    ("features",),
    ("tree",),
    ("proposals",),
    ("clicks", "cut"),
    ("models",),
    ("segmenter", "onnx", "scene", "tracking"),
    ("evaluation",),
    ("training",),
    ("export",),
    ("annotate", "sam", "integrations"),
    ("demo", "commands", "cli", "napari", "__main__"),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS, 1) for room in rooms}

# Settings modules: they import nothing heavy, but a network's settings may be needed below the network. They stand
# where they describe, and are held to importing settings alone.
LIGHT = (
    "cli",
    "events",
    "files",
    "errors",
    "features.config",
    "proposals.config",
    "clicks.config",
    "models.config",
    "evaluation.config",
    "training.config",
    "annotate.config",
    "export.config",
    "commands.annotate",
    "commands.export",
    "demo.config",
    "commands.learn",
    "commands.evaluate",
    "commands.segment",
    "commands.serve",
    "commands.track",
)
HEAVY = ("torch", "cv2", "numba", "transformers", "skimage", "scipy", "lightning_fabric")


def modules():
    return sorted(
        path.relative_to(ROOT) for path in ROOT.rglob("*.py") if path.name != "__init__.py" or path.parent != ROOT
    )


def type_checking_blocks(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield from (id(inner) for part in node.body for inner in ast.walk(part))


def imported_rooms(path):
    """(line, room) for every import of clickgrain's own modules, also inside functions."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    exempt = set(type_checking_blocks(tree))
    for node in ast.walk(tree):
        if id(node) in exempt:
            continue
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write it out"
            names = [node.module or ""]
            if node.module == "clickgrain":
                names = [f"clickgrain.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "clickgrain" and len(parts) > 1 and parts[1] in FLOOR:
                yield node.lineno, parts[1]


@pytest.mark.parametrize("path", modules(), ids=str)
def test_imports_point_down(path):
    room = path.parts[0].removesuffix(".py")
    assert room in FLOOR, f"{room} stands on no floor; add it to FLOORS"
    upward = [(line, other) for line, other in imported_rooms(path) if FLOOR[other] > FLOOR[room]]
    assert not upward, f"{path} (floor {FLOOR[room]}) imports from above: {upward}"


def test_the_rule_sees_an_upward_import(tmp_path, monkeypatch):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "bad.py").write_text("def f():\n    from clickgrain.models.grain import GrainModel\n")
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert list(imported_rooms(Path("tree/bad.py"))) == [(2, "models")]


def test_settings_load_nothing_heavy():
    imports = "; ".join(f"import clickgrain.{name}" for name in LIGHT)
    found = f"print([m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; {imports}; {found}"], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
