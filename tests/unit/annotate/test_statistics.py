import pytest

from clickgrain.annotate.statistics import collect


@pytest.fixture
def worked(act, click, label):
    label(kind="label.add", name="cat")
    act(kind="object.add_steps", steps=[click(20, 20)], label=1, active=2.0)
    act(kind="object.add_steps", object=1, steps=[{"type": "level", "level": 0.5}, click(22, 22)], active=1.0)
    act(kind="object.add_steps", steps=[{"type": "box", "box": [38, 28, 60, 46]}], active=5.0)
    act(2, kind="partition", level=0.8)


def test_all_objects_are_counted_by_source_and_label(worked, project):
    found, regions = collect(project), len(project.logs.history(2).document.objects)
    assert (found["objects"], found["images"], found["prompted"]) == (2 + regions, 2, 2)
    assert found["sources"] == {"partition": regions, "prompt": 2}
    assert {one["name"]: one["objects"] for one in found["labels"]} == {"cat": 1, "unlabelled": 1 + regions}


def test_clicks_and_seconds_of_what_was_made_by_hand(worked, project):
    found = collect(project)
    assert found["clicks"] == {"mean": 1.5, "median": 1.5, "total": 3.0}
    assert found["seconds"] == {"mean": 4.0, "median": 4.0, "total": 8.0}
    assert {(one["name"], one["clicks"], one["seconds"]) for one in found["labels"]} == {
        ("cat", 2.0, 3.0),
        ("unlabelled", 1.0, 5.0),
    }
    assert found["steps"] == {"click": 2, "level": 1, "box": 1}
    assert found["histogram"][:4] == [0, 1, 1, 0]
    assert [(day["objects"], day["seconds"]) for day in found["days"]] == [(2, 8.0)]
    assert [one["name"] for one in found["models"]] == ["tree mode"]


def test_what_was_taken_back_does_not_count(worked, act, project):
    act(kind="undo")
    assert collect(project)["prompted"] == 1


def test_nothing_yet(project, client):
    found = client.get("/api/statistics").json()
    assert found["objects"] == 0
    assert found["clicks"] == {"mean": None, "median": None, "total": 0}


def test_objects_of_a_merged_label_count_and_are_exported_as_the_other(act, click, label, client, project):
    for name in ("nut", "bolt", "screw"):
        label(kind="label.add", name=name)
    act(kind="object.add_steps", steps=[click(20, 20)], label=3)
    label(kind="label.move", label=3, to=0)
    assert [one.name for one in label(kind="label.merge", label=3, into=2).labels] == ["nut", "bolt"]
    after = label(kind="label.merge", label=2, into=1)
    assert [(one.name, one.merged) for one in after.labels] == [("nut", (2, 3))]
    (group,) = client.get("/api/statistics").json()["labels"]
    assert (group["label"], group["name"], group["objects"]) == (1, "nut", 1)
    project.logs.notice_others()
    assert [one.name for one in label(kind="undo").labels] == ["nut", "bolt"]
    assert [one.name for one in label(kind="undo").labels] == ["screw", "nut", "bolt"]
