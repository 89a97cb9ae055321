"""SQLite files of ours."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

from clickgrain.sqlite import Schema

SCHEMA = Schema(application=0x63677465, version=3, tables="CREATE TABLE a (b INTEGER); CREATE TABLE c (d TEXT);")


def test_several_may_make_one_file_at_once(tmp_path):
    creators = 6

    def create(path):
        with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as db:
            barrier.wait()
            SCHEMA.fill(db)
            return SCHEMA.found(db)

    with ThreadPoolExecutor(creators) as pool:
        for turn in range(100):
            barrier = Barrier(creators)
            found = list(pool.map(create, [tmp_path / f"{turn}.db"] * creators))
            assert found == [(SCHEMA.application, 3)] * creators
            with closing(sqlite3.connect(tmp_path / f"{turn}.db")) as db:
                assert db.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall() == [("a",), ("c",)]


def test_a_file_that_holds_something_is_left_alone(tmp_path):
    with closing(sqlite3.connect(tmp_path / "theirs.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE theirs (x)")
        SCHEMA.fill(db)
        assert SCHEMA.found(db) == (0, 0)
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
