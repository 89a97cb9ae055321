"""Agreement between people: as one left the objects, and as the other did."""

import csv

import numpy as np
import pytest

from clickgrain.annotate import actions
from clickgrain.annotate.agreement import versions
from clickgrain.annotate.requests import IMAGE_REQUEST, Posted
from clickgrain.annotate.statistics import collect


def box(left, top, right, bottom):
    """A stroke of one-pixel brushes that fills a rectangle, XYXY with both ends inside."""
    points = [[x, y] for y in range(top, bottom + 1) for x in (left, right)]
    return {"type": "brush", "points": points, "radius": 0.5}


@pytest.fixture
def by(project):
    def act(user, image=1, **action):
        post = Posted(seq=project.logs.history(image).seq, active=0.0)
        request = IMAGE_REQUEST.validate_python(action)
        return actions.act(project, image, post, request, user)

    def run(user, image=1, **action):
        project.team.take_over(user, image)
        return act(user, image, **action)

    return run


@pytest.fixture
def add(by):
    return lambda user, *edges, **more: by(user, kind="object.add_steps", steps=[box(*edges)], **more)


def masks(project, document):
    return [project.logs.mask(item.mask) for item in document.objects]


def reference_iou(a, b):
    """Pixel by pixel, without our own function."""
    pixels = [set(zip(*np.nonzero(mask))) for mask in (a, b)]
    return len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])


def test_what_the_second_corrected_and_kept(project, add):
    add("Anna", 2, 2, 11, 11)
    add("Anna", 20, 2, 29, 11)
    before = project.logs.history(1).document
    add("Ben", 2, 12, 11, 16, object=1)
    (row,) = collect(project)["agreement"]
    expected = reference_iou(*(masks(project, one)[0] for one in (before, project.logs.history(1).document)))
    assert 0.5 < expected < 0.9
    assert row["people"] == ["Anna", "Ben"]
    assert (row["images"], row["kept"], row["alone"]) == (1, 1, [0, 0])
    assert row["corrected"] == {"objects": 1, "iou": pytest.approx(expected, abs=1e-4)}
    assert row["drawn_again"] == {"objects": 0, "iou": None}


def test_what_was_drawn_again_is_matched_by_its_pixels(project, by, add):
    add("Anna", 2, 2, 11, 11)
    add("Anna", 20, 2, 29, 11)
    add("Anna", 40, 30, 45, 35)
    first = masks(project, project.logs.history(1).document)
    by("Ben", kind="clear")
    add("Ben", 21, 2, 30, 11)  # in another order than Anna
    add("Ben", 2, 2, 11, 12)
    add("Ben", 50, 2, 55, 8)
    second = masks(project, project.logs.history(1).document)
    (row,) = collect(project)["agreement"]
    expected = (reference_iou(first[0], second[1]) + reference_iou(first[1], second[0])) / 2
    assert row["drawn_again"] == {"objects": 2, "iou": pytest.approx(expected, abs=1e-4)}
    assert row["alone"] == [1, 1]
    assert (row["kept"], row["corrected"]["objects"]) == (0, 0)


def test_every_object_is_listed_with_its_iou(project, by, add, label, client):
    label(kind="label.add", name="=1+1")
    add("Anna", 2, 2, 11, 11, label=1)
    add("Anna", 20, 2, 29, 11)
    add("Anna", 40, 30, 45, 35)
    by("Anna", kind="object.edit", object=3, label=1)
    first = masks(project, project.logs.history(1).document)
    by("Ben", kind="object.delete", objects=[2, 3])
    add("Ben", 2, 12, 11, 16, object=1)
    add("Ben", 21, 2, 30, 11)
    add("Cleo", 50, 2, 55, 8)
    second = masks(project, project.logs.history(1).document)
    answer = client.get("/api/agreement")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(answer.text.splitlines()))
    found = {
        (row["first"], row["second"], row["how"], row["first_object"], row["second_object"]): row for row in rows
    }
    corrected, again = found["Anna", "Ben", "corrected", "1", "1"], found["Anna", "Ben", "drawn again", "2", "4"]
    assert float(corrected["iou"]) == pytest.approx(reference_iou(first[0], second[0]), abs=1e-4)
    assert float(again["iou"]) == pytest.approx(reference_iou(first[1], second[1]), abs=1e-4)
    assert (corrected["image"], corrected["first_label"], again["second_label"]) == ("a1.png", "'=1+1", "")
    assert found["Anna", "Ben", "first only", "3", ""]["iou"] == "0.0"
    assert found["Ben", "Cleo", "second only", "", "5"]["iou"] == "0.0"
    assert len(rows) == len(found) == 3 + 4 + 3
    page = collect(project)
    assert len(page["least_agreement"]) == 10
    assert [row["iou"] for row in page["least_agreement"]] == sorted(float(row["iou"]) for row in rows)
    assert [row["people"] for row in page["agreement"]] == [["Anna", "Ben"], ["Anna", "Cleo"], ["Ben", "Cleo"]]


def test_labels_are_compared(project, by, add, label):
    label(kind="label.add", name="cat")
    label(kind="label.add", name="dog")
    add("Anna", 2, 2, 11, 11, label=1)
    add("Anna", 20, 2, 29, 11, label=1)
    by("Ben", kind="object.edit", object=2, label=2)
    (row,) = collect(project)["agreement"]
    assert (row["kept"], row["labels"]) == (2, 0.5)


def test_looking_hiding_and_checking_is_no_version_of_ones_own(project, by, add):
    add("Anna", 2, 2, 11, 11)
    by("Ben", kind="object.edit", object=1, hidden=True)
    by("Ben", kind="status", status="checked")
    assert list(versions(project.database.actions(1))) == ["Anna"]
    assert collect(project)["agreement"] == []


def test_undo_counts_as_a_change_of_who_undid(project, by, add):
    add("Anna", 2, 2, 11, 11)
    add("Anna", 20, 2, 29, 11)
    by("Ben", kind="undo")
    assert [(user, len(one.objects)) for user, one in versions(project.database.actions(1)).items()] == [
        ("Anna", 2),
        ("Ben", 1),
    ]


def test_people_are_counted(project, by, add):
    add("Anna", 2, 2, 11, 11)
    by("Anna", kind="status", status="done")
    by("Ben", kind="status", status="checked")
    people = {row["name"]: row for row in collect(project)["people"]}
    assert (people["Anna"]["objects"], people["Ben"]["objects"]) == (1, 0)
    assert (people["Anna"]["checked"], people["Ben"]["checked"]) == (0, 1)


def test_without_users_there_are_no_people(project, act):
    act(kind="object.add_steps", steps=[box(2, 2, 11, 11)])
    found = collect(project)
    assert (found["people"], found["agreement"]) == ([], [])
