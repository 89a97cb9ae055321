"""Masks made again from steps, and the commands around a project."""

import json

import pytest

from clickgrain.annotate import actions
from clickgrain.annotate.models import describe_model
from clickgrain.annotate.project import Project, open_project
from clickgrain.annotate.replay import replay
from clickgrain.annotate.requests import IMAGE_REQUEST, Posted
from clickgrain.cli import main
from clickgrain.errors import DataError

REGION = {"type": "region", "x": 20, "y": 20, "level": 0.6}
BRUSH = {"type": "brush", "points": [[5, 5], [9, 30]], "radius": 2.5}


@pytest.fixture
def worked(act, click, label):
    label(kind="label.add", name="cat")
    act(kind="object.add_steps", steps=[click(20, 20)], label=1)
    act(kind="object.add_steps", object=1, steps=[click(50, 36)])
    act(kind="object.add_steps", object=1, steps=[click(5, 40, 0), BRUSH])
    act(2, kind="object.add_steps", steps=[REGION, click(48, 36)])
    act(2, kind="object.add_steps", steps=[click(23, 20), {"type": "choose", "alternative": 0}])
    act(3, kind="partition", level=0.8)


def test_every_mask_comes_out_the_same(worked, project):
    rows = list(replay(project))
    assert len(rows) == 3 + len(project.logs.history(3).document.objects)
    assert all(row.is_same for row in rows)
    assert [(row.image, row.label, row.clicks) for row in rows[:3]] == [
        ("a1.png", "cat", 4),
        ("a2.png", None, 2),
        ("a2.png", None, 2),
    ]


def test_masks_of_a_network_come_out_the_same_after_the_project_went_on_with_another(project, act, click, tiny):
    project.use_model(describe_model(str(tiny)))
    act(kind="object.add_steps", steps=[click(20, 20)])
    for step in (click(50, 36), click(5, 40, 0), {"type": "level", "level": 0.4}, BRUSH, click(30, 30)):
        act(kind="object.add_steps", object=1, steps=[step])
    act(kind="object.add_steps", steps=[REGION, click(48, 36)])
    made = {item.mask for item in project.logs.history(1).document.objects}
    project.use_model(describe_model("tree"))
    act(kind="object.add_steps", steps=[click(20, 20)])
    rows = list(replay(project))
    assert len(rows) == 3
    assert len(made) == 2
    assert all(row.is_same for row in rows)
    assert not all(row.is_same for row in replay(project, model="tree"))


def test_a_changed_photo_gives_another_mask(worked, project, photos):
    (photos / "a1.png").write_bytes((photos / "sub" / "a10.png").read_bytes())
    first = next(iter(replay(project)))
    assert not first.is_same
    assert first.iou < 1


def test_what_cannot_be_replayed_says_why(worked, project, photos):
    (photos / "a1.png").unlink()
    project.database.rows("DELETE FROM models")
    project.model = project.model._replace(hash="f" * 20)
    first, second, *_ = replay(project)
    assert "not known" in first.problem
    assert second.iou is None


def run(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_command_prints_a_line_per_object_and_counts(worked, project, photos, tmp_path, capsys):
    status, out, _ = run(capsys, "replay", photos, "--out", tmp_path / "replay.json")
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "a1.png object=1 label=cat clicks=4 iou=1.0000"
    count = len(lines) - 1
    assert lines[-1] == f"{count} objects, {count} the same in every pixel, 8 clicks"
    assert json.loads((tmp_path / "replay.json").read_bytes())["same"] == count


def test_out_of_one_project_into_another(worked, photos, tmp_path, capsys):
    status, out, _ = run(capsys, "export", photos, "--out", tmp_path / "out", "--format", "labelme")
    assert (status, out) == (0, f"3 files in {tmp_path / 'out'}\n")
    second = tmp_path / "second.db"
    status, out, _ = run(capsys, "import", photos, tmp_path / "out", "--project", second, "--done")
    assert status == 0
    assert "in 3 images, 1 new labels" in out
    project = open_project(second)
    assert project.gallery.photos == photos
    assert project.logs.history(1).document.status == "done"
    assert len(project.logs.history(2).document.objects) == 2
    project.close()


def test_there_must_be_a_project(tmp_path, capsys):
    with pytest.raises(DataError, match="no project"):
        open_project(tmp_path)
    status, _, err = run(capsys, "export", tmp_path / "x.db", "--out", tmp_path)
    assert status == 1
    assert "clickgrain annotate" in err


def test_bad_files_stop_no_import(worked, photos, tmp_path, capsys):
    good = tmp_path / "good.json"
    run(capsys, "export", photos, "--out", tmp_path / "out")
    good.write_bytes((tmp_path / "out" / "annotations.json").read_bytes())
    (tmp_path / "bad.json").write_text("{")
    missing = tmp_path / "missing.json"
    status, out, err = run(
        capsys, "import", photos, missing, tmp_path / "bad.json", good, "--project", tmp_path / "n.db"
    )
    assert status == 1  # a file that was named is not there
    assert "in 3 images" in out
    assert "missing.json" in err
    assert "bad.json" in err


def test_a_project_remembers_its_model(photos):
    first = Project(photos, model="tree")
    assert first.notice is None
    actions.act(first, 1, Posted(seq=0), IMAGE_REQUEST.validate_python({"kind": "status", "status": "done"}))
    first.close()
    again = Project(photos)
    assert again.model.id == "tree"
    again.close()
