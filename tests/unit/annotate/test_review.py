"""Review: images are done, checked, or sent back with a note."""

import json
import zipfile
from io import BytesIO

import pytest

from clickgrain.annotate import actions
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.requests import IMAGE_REQUEST, Posted

BRUSH = {"type": "brush", "points": [[20, 20]], "radius": 6}


@pytest.fixture
def status(act):
    return lambda value, **more: act(kind="status", status=value, **more)


@pytest.fixture
def document(project):
    return lambda: project.logs.history(1).document


def test_an_image_goes_back_with_a_note_and_comes_again(act, status, document, project):
    act(kind="object.add_steps", steps=[BRUSH])
    status("done")
    status("sent_back", note="the left edge")
    assert (document().status, document().note) == ("sent_back", "the left edge")
    act(kind="object.add_steps", object=1, steps=[BRUSH])
    assert document().note == "the left edge"  # until the annotator says that it is done
    status("done")
    assert (document().status, document().note) == ("done", "")
    act(kind="undo")
    act(kind="undo")
    assert (document().status, document().note) == ("sent_back", "the left edge")
    project.logs.forget(1)
    assert (document().status, document().note) == ("sent_back", "the left edge")  # from the log


@pytest.mark.parametrize("action", [{"status": "sent_back"}, {"status": "done", "note": "what for?"}])
def test_a_note_belongs_to_what_is_sent_back(act, action):
    with pytest.raises(RequestError, match="with a note"):
        act(kind="status", **action)


def test_who_set_the_status_is_known(project, document):
    request = IMAGE_REQUEST.validate_python({"kind": "status", "status": "checked"})
    actions.act(project, 1, Posted(seq=0), request, "Ben")
    assert document().by == "Ben"
    assert document().to_json()["by"] == "Ben"


def test_a_change_undoes_the_check(act, status, document):
    act(kind="object.add_steps", steps=[BRUSH])
    status("checked")
    act(kind="object.edit", object=1, hidden=True)
    assert document().status == "checked"  # it looks the same to who opens it next
    act(kind="object.edit", object=1, label=None, locked=True)
    assert document().status == "done"
    act(kind="undo")
    assert document().status == "checked"
    act(kind="clear")
    assert document().status == "done"


def test_exports_and_counts_know_what_is_checked(act, client, status):
    for image, value in ((1, "done"), (2, "checked"), (3, "todo")):
        act(image, kind="object.add_steps", steps=[BRUSH])
        if value != "todo":
            act(image, kind="status", status=value)

    def exported(only):
        with zipfile.ZipFile(BytesIO(client.get(f"/api/export?format=coco&only={only}").content)) as archive:
            (name,) = archive.namelist()
            return sorted(one["file_name"] for one in json.loads(archive.read(name))["images"])

    assert [len(exported(only)) for only in ("all", "done", "checked")] == [3, 2, 1]
    assert exported("checked") == ["a2.png"]
    counts = client.get("/api/state").json()["counts"]
    assert (counts["done"], counts["checked"], counts["sent_back"]) == (1, 1, 0)


def test_the_page_opens_what_was_sent_back_first(act, project):
    act(1, kind="object.add_steps", steps=[BRUSH])
    assert project.gallery.first() == 1
    act(3, kind="status", status="sent_back", note="again")
    assert project.gallery.first() == 3
