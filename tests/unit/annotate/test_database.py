import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from clickgrain.annotate.database import SCHEMA, Database, ModelInfo, Summary
from clickgrain.annotate.documents import Action
from clickgrain.annotate.gallery import Gallery
from clickgrain.annotate.http_errors import RequestError


def action(seq, **patch):
    return Action(seq, "add", 12.5, "tab", "model", 1.5, {"kind": "add"}, patch)


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "deep" / "project.db", timeout=0.05)
    yield database
    database.close()


def test_what_was_written_is_there_for_whoever_opens_the_file_next(database):
    assert database.append(3, action(1, put=[{"id": 1}]), {"a" * 20: b"mask"}, Summary(1, "doing", 1, 2))
    other = Database(database.path)
    assert other.actions(3) == [action(1, put=[{"id": 1}])]
    assert other.mask("a" * 20) == b"mask"
    assert other.summaries() == other.summaries([2, 3]) == {3: Summary(1, "doing", 1, 2)}
    assert other.summaries([4]) == {}
    assert other.logged_images() == [3]
    other.close()


def test_a_number_is_taken_once(database):
    assert database.append(3, action(1), {}, None)
    assert not database.append(3, action(1, other=1), {"b" * 20: b"lost"}, None)
    assert database.mask("b" * 20) is None
    assert database.append(4, action(1), {}, None)


def test_threads_that_wait_for_the_disk_are_synced_together(database):
    statements = list[str]()
    database._db.set_trace_callback(statements.append)
    answers = dict[int, bool]()

    def write(image):
        answers[image] = database.append(image, action(1), {f"{image:020}": b"mask"}, Summary(1, "doing", 1, 2))

    database.append(7, action(1), {}, None)  # so that one of them finds its number taken
    statements.clear()
    threads = [threading.Thread(target=write, args=(image,)) for image in range(1, 21)]
    with database._lock:  # as long as another one writes
        for thread in threads:
            thread.start()
        while len(database._entries) < 20:
            time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert statements.count("COMMIT") == 1
    assert answers == {image: image != 7 for image in range(1, 21)}
    assert database.mask(f"{7:020}") is None
    assert database.mask(f"{8:020}") == b"mask"
    assert database.summaries().keys() == set(range(1, 21)) - {7}


def test_where_the_disk_fails_all_who_waited_are_told(database):
    problems = list[RequestError]()

    def write(image):
        with pytest.raises(RequestError) as caught:
            database.append(image, action(1), {}, None)
        problems.append(caught.value)

    threads = [threading.Thread(target=write, args=(image,)) for image in (1, 2, 3)]
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [one.code for one in problems] == ["database_locked"] * 3
    assert database.logged_images() == []
    assert database.append(1, action(1), {}, None)


def test_actions_since(database):
    for seq in (1, 2, 3):
        database.append(1, action(seq), {}, None)
    assert [one.seq for one in database.actions(1, since=1)] == [2, 3]


def photo(folder, name):
    (folder / name).write_bytes(b"looked at by name only")


def test_images_keep_their_numbers(database, tmp_path):
    photo(tmp_path, "a.jpg")
    photo(tmp_path, "b.jpg")
    gallery = Gallery(tmp_path, database)
    before = {image: gallery.path(image) for image in gallery.order}
    photo(tmp_path, "0.jpg")
    assert gallery.rescan() == (1, 0)
    after = {image: gallery.path(image) for image in gallery.order}
    assert before.items() <= after.items()
    assert [after[image] for image in gallery.order] == [Path("0.jpg"), Path("a.jpg"), Path("b.jpg")]


def test_names_that_are_no_text(database, tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    photo(tmp_path, name)
    gallery = Gallery(tmp_path, database)
    assert gallery.path(1) == Path(name)
    assert database.rows("SELECT path FROM images") == [(b"caf\xe9.jpg",)]


def test_the_size_of_what_was_annotated_stays(database, tmp_path):
    photo(tmp_path, "a.jpg")
    gallery = Gallery(tmp_path, database)
    gallery.set_size(1, (2, 3), (20, 30))
    gallery.set_size(1, (4, 5), (40, 50))
    assert gallery.size(1) == ((4, 5), (40, 50))
    database.append(1, action(1), {}, None)
    gallery.set_size(1, (2, 3), (20, 30))
    assert gallery.size(1) == ((4, 5), (40, 50))


def test_a_locked_file_is_reported_and_nothing_written(database):
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(RequestError, match="in use by another program") as caught:
        database.append(1, action(1), {}, None)
    assert (caught.value.code, caught.value.status) == ("database_locked", 503)
    other.execute("ROLLBACK")
    other.close()
    assert database.append(1, action(1), {}, None)


def test_a_full_disk_is_reported_and_nothing_written(database):
    pages = database.rows("PRAGMA page_count")[0][0]
    database.rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(RequestError, match="full") as caught:
        database.append(1, action(1), {"a" * 20: bytes(100_000)}, None)
    assert caught.value.status == 507
    assert database.actions(1) == []
    database.rows("PRAGMA max_page_count = 1000000")
    assert database.append(1, action(1), {"a" * 20: bytes(100_000)}, None)


def test_others_writing_is_noticed(database):
    before = database.data_version()
    other = Database(database.path)
    other.append(1, action(1), {}, None)
    other.close()
    assert database.data_version() != before


def test_every_write_reaches_the_disk(database):
    assert database.rows("PRAGMA synchronous")[0][0] == 2  # FULL
    assert database.rows("PRAGMA journal_mode")[0][0] == "wal"


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"no database at all" * 100, "no project file"), (None, "is a folder")],
)
def test_what_is_no_project_is_refused(tmp_path, content, words):
    path = tmp_path / "thing"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(RequestError, match=words):
        Database(path)


@pytest.mark.parametrize(
    ("pragma", "words"), [("application_id = 5", "no project"), ("user_version = 99", "update")]
)
def test_other_databases_are_left_alone(tmp_path, pragma, words):
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.executescript(f"CREATE TABLE t (x); PRAGMA application_id = {SCHEMA.application}; PRAGMA {pragma};")
    connection.close()
    with pytest.raises(RequestError, match=words):
        Database(path)


def test_models_are_remembered_with_their_report(database):
    model = ModelInfo("m", "mine", "grain", "h", "/models/m")
    database.save_model(model)
    database.save_model(model, {"objects": 3})
    database.save_model(model)
    ((known, about),) = database.models()
    assert (known, about["report"]) == (model, {"objects": 3})
