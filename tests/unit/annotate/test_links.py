"""Photos that are links: the user's own lead anywhere, other people's stay inside the folder."""

import os

import pytest

from clickgrain.annotate import links
from clickgrain.annotate.project import Project
from clickgrain.errors import ImageError

STRANGER = 12_345


@pytest.fixture
def outside(photos, tmp_path):
    """A photo and a folder with one, beside the project's folder."""
    place = tmp_path / "private"
    place.mkdir()
    (place / "b.png").write_bytes((photos / "a1.png").read_bytes())
    return place


@pytest.fixture
def by_a_stranger(monkeypatch):
    """Make a link count as somebody else's, whoever runs the test."""
    strange, owner = set(), links._owner
    monkeypatch.setattr(links, "_owner", lambda path: STRANGER if str(path) in strange else owner(path))
    return lambda link: strange.add(str(link))


def names(project):
    return [project.gallery.name(image) for image in project.gallery.order]


def test_the_user_s_own_links_lead_anywhere(photos, outside, project, client):
    (photos / "b.png").symlink_to(outside / "b.png")
    (photos / "more").symlink_to(outside, target_is_directory=True)
    project.gallery.rescan()
    assert names(project) == ["a1.png", "a2.png", "b.png", "more/b.png", "sub/a10.png"]
    image = project.gallery.find("b.png")
    assert client.get(f"/api/images/{image}/picture").status_code == 200
    assert project.gallery.left_out == 0


@pytest.mark.parametrize("way", ["file", "folder"])
def test_somebody_else_s_link_out_of_the_folder_is_left_out(photos, outside, project, by_a_stranger, way):
    link = photos / ("b.png" if way == "file" else "more")
    link.symlink_to(outside / "b.png" if way == "file" else outside)
    by_a_stranger(link)
    project.gallery.rescan()
    assert names(project) == ["a1.png", "a2.png", "sub/a10.png"]
    assert project.gallery.left_out == 1


def test_a_photo_that_somebody_swaps_for_a_link_is_not_shown(photos, outside, project, by_a_stranger, client):
    assert client.get("/api/images/1/picture").status_code == 200
    (photos / "a1.png").unlink()
    (photos / "a1.png").symlink_to(outside / "b.png")
    by_a_stranger(photos / "a1.png")
    for what in ("picture", "picture?box=0,0,9,9", "thumb"):
        answer = client.get(f"/api/images/1/{what}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "image")
        assert "a1.png" in answer.json()["error"]["message"]
    with pytest.raises(ImageError, match="somebody else"):
        project.gallery.read(1)


def test_links_inside_the_folder_are_anybody_s(photos, project, by_a_stranger):
    (photos / "b.png").symlink_to("sub/a10.png")
    by_a_stranger(photos / "b.png")
    project.gallery.rescan()
    assert "b.png" in names(project)


def test_links_that_lead_nowhere(photos, project, by_a_stranger):
    for name in ("mine.png", "theirs.png", "loop.png"):
        (photos / name).symlink_to(photos.parent / "nothing.png" if name != "loop.png" else photos / "loop.png")
    by_a_stranger(photos / "theirs.png")
    project.gallery.rescan()
    assert "mine.png" in names(project)  # opening it says what is wrong
    assert "theirs.png" not in names(project)


def test_what_the_user_has_named_is_followed(outside, tmp_path, by_a_stranger):
    for name, place in (("folder", outside), ("photo.png", outside / "b.png")):
        link = tmp_path / name
        link.symlink_to(place)
        by_a_stranger(link)
        project = Project(link, tmp_path / f"{name}.db", model="tree")
        assert len(project.gallery.order) == 1
        assert project.gallery.read(1).shape == (48, 64, 3)
        project.close()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_owners_as_the_disk_knows_them(photos, outside, project):
    (photos / "b.png").symlink_to(outside / "b.png")
    os.lchown(photos / "b.png", STRANGER, STRANGER)
    project.gallery.rescan()
    assert "b.png" not in names(project)
    os.chown(outside / "b.png", STRANGER, STRANGER)  # what somebody links to their own photo
    project.gallery.rescan()
    assert "b.png" in names(project)


def test_the_user_is_told_what_was_left_out(photos, outside, project, by_a_stranger):
    assert project.gallery.complaint() is None
    (photos / "b.png").symlink_to(outside / "b.png")
    by_a_stranger(photos / "b.png")
    project.gallery.rescan()
    assert "1 photo" in project.gallery.complaint()


@pytest.mark.timeout(60)
def test_pipes_other_formats_and_previews_are_no_photos_of_a_project(photos, project):
    before = names(project)
    os.mkfifo(photos / "pipe.webp")
    (photos / "raw.CR2").touch()
    (photos / "model" / "previews").mkdir(parents=True)
    (photos / "model" / "previews" / "step-000010.png").write_bytes((photos / "a1.png").read_bytes())
    project.gallery.rescan()
    assert names(project) == before
    pipes, others = project.gallery.complaint().splitlines()
    assert "pipe.webp" in pipes
    assert "raw.CR2" in others
