"""Files below the folder: names that climb, links of others, and files that are swapped while they are opened."""

import os
from pathlib import Path

import pytest

from clickgrain.annotate import files_below
from clickgrain.annotate.files_below import AstrayError, checked, open_below, opened
from clickgrain.annotate.project import Project
from clickgrain.errors import DataError, ImageError

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
    """Make a link count as another user's, whatever user runs the test."""
    strange, maker = set(), files_below._maker
    monkeypatch.setattr(files_below, "_maker", lambda s: STRANGER if s.st_ino in strange else maker(s))
    return lambda link: strange.add(link.lstat().st_ino)


def names(project):
    return [project.gallery.name(image) for image in project.gallery.order]


def test_the_user_s_own_links_lead_anywhere(photos, outside, project, client):
    (photos / "b.png").symlink_to(outside / "b.png")
    (photos / "more").symlink_to(outside, target_is_directory=True)
    project.gallery.rescan()
    assert names(project) == ["a1.png", "a2.png", "b.png", "more/b.png", "sub/a10.png"]
    image = project.gallery.find("b.png")
    assert client.get(f"/api/images/{image}/picture").status_code == 200
    assert project.gallery.astray == []


@pytest.mark.parametrize("way", ["file", "folder"])
def test_another_user_s_link_out_of_the_folder_is_left_out(photos, outside, project, by_a_stranger, way):
    link = photos / ("b.png" if way == "file" else "more")
    link.symlink_to(outside / "b.png" if way == "file" else outside)
    by_a_stranger(link)
    project.gallery.rescan()
    assert names(project) == ["a1.png", "a2.png", "sub/a10.png"]
    assert len(project.gallery.astray) == 1


def test_a_photo_that_another_user_swaps_for_a_link_is_not_shown(photos, outside, project, by_a_stranger, client):
    assert client.get("/api/images/1/picture").status_code == 200
    (photos / "a1.png").unlink()
    (photos / "a1.png").symlink_to(outside / "b.png")
    by_a_stranger(photos / "a1.png")
    for what in ("picture", "picture?box=0,0,9,9", "thumb"):
        answer = client.get(f"/api/images/1/{what}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "image")
        assert "a1.png" in answer.json()["error"]["message"]
    with pytest.raises(ImageError, match="another user"):
        project.gallery.load(1)


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
        assert project.gallery.load(1).pixels.shape == (48, 64, 3)
        project.close()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_owners_as_the_disk_knows_them(photos, outside, project):
    (photos / "b.png").symlink_to(outside / "b.png")
    os.lchown(photos / "b.png", STRANGER, STRANGER)
    project.gallery.rescan()
    assert "b.png" not in names(project)
    os.chown(outside / "b.png", STRANGER, STRANGER)  # what a user links to their own photo
    project.gallery.rescan()
    assert "b.png" in names(project)


def test_the_user_is_told_what_was_left_out(photos, outside, project, by_a_stranger):
    assert project.gallery.complaint() is None
    (photos / "b.png").symlink_to(outside / "b.png")
    by_a_stranger(photos / "b.png")
    project.gallery.rescan()
    assert "1 photo" in project.gallery.complaint()


@pytest.mark.parametrize("name", ["a.png", "sub/a b.png", "..a.png", "a..", "Käse/ñ.png", b"\xff.png", "a\\b.png"])
def test_names_below_the_folder(name):
    assert checked(name) == Path(os.fsdecode(name))


ELSEWHERE = [
    *("", ".", "/etc/passwd", "../a.png", "a/../../b.png", "a/..", "./a.png", "a//b.png", "a/", "a\0.png"),
    *("..\\a.png", "a\\..\\..\\b.png", "\\a.png", "//host/a.png", b"/\xff"),
]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_names_that_lead_elsewhere(name):
    with pytest.raises(DataError, match="no path below"):
        checked(name)


@pytest.fixture
def swapped(monkeypatch):
    """Do something after a photo was opened the n-th time, just before it is read."""

    def when(function, do):
        real = getattr(files_below.os, function)

        def called(*arguments, **more):
            result = real(*arguments, **more)
            if arguments[0] == "a1.png":
                monkeypatch.setattr(files_below.os, function, real)
                do()
            return result

        monkeypatch.setattr(files_below.os, function, called)

    return when


def replace_by_link(photos, outside):
    (photos / "a1.png").unlink()
    (photos / "a1.png").symlink_to(outside / "secret")


@pytest.mark.parametrize("moment", ["stat", "open"])
def test_a_photo_swapped_for_a_link_while_it_is_opened_shows_nothing_of_the_target(
    photos, outside, swapped, moment
):
    (outside / "secret").write_bytes(b"secret")
    own = (photos / "a1.png").read_bytes()
    swapped(moment, lambda: replace_by_link(photos, outside))
    try:
        with opened(photos, Path("a1.png")) as file:
            assert file.path.read_bytes() == own  # the file that was opened, whatever its name leads to by now
    except OSError:
        assert moment == "stat"


def test_a_folder_swapped_for_a_link_while_a_photo_is_opened(photos, outside, swapped, by_a_stranger):
    (outside / "a10.png").write_bytes(b"secret")
    own = (photos / "sub" / "a10.png").read_bytes()

    def swap():
        (photos / "sub").rename(photos / "was")
        (photos / "sub").symlink_to(outside)
        by_a_stranger(photos / "sub")

    real = files_below.os.open

    def once(path, *arguments, **more):
        result = real(path, *arguments, **more)
        if path == "sub":
            swap()
        return result

    files_below.os.open = once
    try:
        with opened(photos, Path("sub/a10.png")) as file:
            assert file.path.read_bytes() == own
    finally:
        files_below.os.open = real
    with pytest.raises(AstrayError), opened(photos, Path("sub/a10.png")):
        pass


def test_a_link_that_is_not_the_one_that_was_looked_at(photos, outside, swapped):
    (photos / "a1.png").unlink()
    (photos / "a1.png").symlink_to(photos / "a2.png")

    def swap():
        (photos / "a1.png").rename(photos / "was")
        (photos / "a1.png").symlink_to(outside / "b.png")

    swapped("stat", swap)
    with pytest.raises(OSError, match="replaced"), opened(photos, Path("a1.png")):
        pass


def test_a_link_to_another_user_s_folder_does_not_lead_on_to_files_of_mine(photos, outside, by_a_stranger):
    theirs = outside / "theirs"
    theirs.mkdir()
    (theirs / "b.png").symlink_to(outside / "b.png")
    (photos / "more").symlink_to(theirs)
    by_a_stranger(photos / "more")
    by_a_stranger(theirs / "b.png")
    with pytest.raises(AstrayError):
        os.close(open_below(photos, Path("more/b.png")))


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_only_regular_files_are_opened(photos, kind):
    place = photos / "odd.png"
    {"pipe": os.mkfifo, "folder": os.mkdir, "device": lambda p: p.symlink_to("/dev/zero")}[kind](place)
    with pytest.raises(OSError, match="no file"), opened(photos, Path("odd.png")):
        pass


def test_a_pipe_among_the_photos_stops_no_one(photos, project, client):
    image, other = project.gallery.order[:2]
    file = photos / project.gallery.name(image)
    file.unlink()
    os.mkfifo(file)
    for what in ("", "/picture", "/thumb", "/hover"):
        answer = client.get(f"/api/images/{image}{what}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "image")
    assert client.get(f"/api/images/{other}/hover").status_code == 200


def test_where_the_system_has_no_names_for_open_files_a_private_copy_is_read(photos, monkeypatch):
    monkeypatch.setattr(files_below, "OPEN_FILES", photos / "nothing")
    with opened(photos, Path("a1.png")) as file:
        assert file.path.read_bytes() == (photos / "a1.png").read_bytes()
        assert not file.path.is_relative_to(photos)
        copy = file.path
    assert not copy.exists()


def test_a_file_that_is_written_to_while_it_is_open_has_changed(photos):
    with opened(photos, Path("a1.png")) as file:
        before = file.path.stat()
        (photos / "a1.png").write_bytes(b"x" * before.st_size)
        os.utime(photos / "a1.png", ns=(before.st_atime_ns, before.st_mtime_ns))
        assert file.has_changed


def test_messages_name_the_photo_and_not_the_descriptor(photos, project):
    (photos / "a1.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    with pytest.raises(ImageError, match=r"photos/a1\.png: damaged") as told:
        project.gallery.load(1)
    assert "/proc" not in str(told.value)


@pytest.mark.timeout(60)
def test_pipes_other_formats_and_previews_are_no_photos_of_a_project(photos, project):
    before = list(project.gallery.order)
    os.mkfifo(photos / "pipe.webp")
    (photos / "raw.CR2").touch()
    (photos / "model" / "previews").mkdir(parents=True)
    (photos / "model" / "previews" / "step-000010.png").write_bytes((photos / "a1.png").read_bytes())
    project.gallery.rescan()
    assert project.gallery.order == before
    pipes, others = project.gallery.complaint().splitlines()
    assert "pipe.webp" in pipes
    assert "raw.CR2" in others
