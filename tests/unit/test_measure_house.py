"""The tool that measures the house, on a house of three rooms."""

import importlib.util
import sys
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location(
    "measure_house", Path(__file__).parents[2] / "tools" / "measure_house.py"
)
tool = importlib.util.module_from_spec(SPEC)
sys.modules["measure_house"] = tool  # dataclasses look their module up
SPEC.loader.exec_module(tool)

ROOMS = {
    "commands/learn.py": """
from clickgrain.config import LearnArgs
from clickgrain.training import train

def learn(args: LearnArgs) -> None:
    \"\"\"Learn.\"\"\"
    # why: settings are resolved once
    train(args, 3)
    print("done")
""",
    "config.py": """
class LearnArgs:
    def checked(self) -> "LearnArgs":
        return self

class Recipe:
    steps: int

def recipe_of(args: LearnArgs) -> Recipe:
    return Recipe()
""",
    "training.py": """
from clickgrain.config import LearnArgs, recipe_of
from clickgrain.step import Step
from clickgrain.other import unrelated

def train(args: LearnArgs, count: int) -> None:
    recipe = recipe_of(args.checked())
    step = Step(recipe)
    unrelated(count)
    _once()

def _once() -> None:
    pass
""",
    "step.py": """
class Step:
    def __init__(self, recipe: object) -> None:
        self.recipe = recipe  # noqa: X
""",
    "other.py": """
def unrelated(count: int) -> None:
    return None
""",
    "annotate.py": """
from clickgrain.config import LearnArgs
from clickgrain.other import unrelated
from clickgrain.step import Step

class Edit: ...
class AddSteps: ...

class Project:
    def act(self, request: object) -> None:
        handler = HANDLERS[type(request)]
        handler(self, request)

    def add(self, request: object) -> None:
        unrelated(len(request.steps))

    def edit(self, request: object) -> None:
        Step(request)

HANDLERS = {AddSteps: Project.add, Edit: Project.edit}

def routes(router, project: Project):
    @router.post("/images/{image}/actions")
    def act(image: int, post: object) -> None:
        project.act(post.action)
""",
}


@pytest.fixture
def house(tmp_path):
    for name, text in ROOMS.items():
        path = tmp_path / "clickgrain" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"))
    return tool.House.at(tmp_path)


def test_size(house):
    found = tool.measure(house)
    assert found["files"] == 6
    assert found["lines"] == sum(text.lstrip("\n").count("\n") for text in ROOMS.values())
    assert found["functions"] == 12
    assert found["private functions named in one place"] == 1
    assert found["comments, %"] == round(100 / found["lines"], 1)  # an order to a tool is none


def test_settings_walk_where_they_or_settings_made_of_them_are_handed(house):
    rooms, stays = tool.walk(house, tool.start_of_learn(house), derived=False)
    names = ["commands.learn", "training", "config", "step"]
    assert rooms == [f"clickgrain.{name}" for name in names]  # a number is no setting: not into `other`
    assert stays == 4


def test_a_click_walks_through_its_handler_alone(house):
    rooms, stays = tool.walk(house, tool.start_of_click(house), derived=True)
    assert rooms == ["clickgrain.annotate", "clickgrain.other"]
    assert stays == 1


def test_help_explains_itself_and_is_no_revision(capsys):
    with pytest.raises(SystemExit, match="0"):
        tool.main(["--help"])
    said = capsys.readouterr().out
    assert said.startswith("usage:")
    assert "--rooms" in said


def test_two_revisions_side_by_side(capsys):
    tool.main([".", "."])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| | . | . |"
    cells = [line.strip("| ").split(" | ") for line in lines[2:]]
    assert all(one == other for _, one, other in cells)
    figures = {name: value for name, value, _ in cells}
    assert int(figures["lines"]) > 5000
    assert int(figures["walk of learn, rooms"]) > 3
    assert int(figures["walk of a click, rooms"]) > 3
