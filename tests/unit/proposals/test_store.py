import multiprocessing
import re
import sqlite3
import threading
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickgrain.errors import StoreError
from clickgrain.proposals.store import ProposalStore, Row, Source, pack_tree, unpack_tree, verify

SOURCE = Source("ab" * 32, 1234, 5678)


@pytest.fixture
def store(tmp_path):
    with ProposalStore.create(tmp_path / "new folder" / "trees.db", timeout=0.2) as store:
        yield store


@pytest.fixture
def row(make_random_tree):
    def make(key, seed=0, h=5, w=6):
        return Row.of(key, SOURCE, make_random_tree(h, w, seed, image_size=(8 * h, 8 * w)), "color-texture", "s1")

    return make


def assert_same_tree(ours, theirs):
    np.testing.assert_array_equal(ours.children, theirs.children)
    np.testing.assert_array_equal(ours.cost, theirs.cost)
    np.testing.assert_array_equal(ours.area, theirs.area)
    np.testing.assert_array_equal(ours.level, theirs.level)
    assert (ours.grid, ours.image_size) == (theirs.grid, theirs.image_size)


@settings(max_examples=30, deadline=None)
@given(h=st.integers(1, 12), w=st.integers(1, 12), seed=st.integers(0, 1000))
def test_packing_loses_nothing(make_random_tree, h, w, seed):
    tree = make_random_tree(h, w, seed, image_size=(480, 640))
    assert_same_tree(unpack_tree(*pack_tree(tree), tree.grid, tree.image_size), tree)


def test_packing_of_a_tree_too_large_for_16_bits(make_balanced_tree):
    tree = make_balanced_tree(15)  # 65,535 nodes still fit; the next size does not
    assert_same_tree(unpack_tree(*pack_tree(tree), tree.grid, tree.image_size), tree)
    tree = make_balanced_tree(16)
    children, cost = pack_tree(tree)
    assert_same_tree(unpack_tree(children, cost, tree.grid, tree.image_size), tree)


def test_round_trip(store, make_random_tree):
    tree = make_random_tree(7, 9, seed=4, image_size=(60, 70))
    store.write([Row.of("a/b ü.jpg", SOURCE, tree, "color-texture", "s1")], {"s1": '{"linkage": "ward"}'})
    assert_same_tree(store.tree("a/b ü.jpg"), tree)
    meta = store.find("a/b ü.jpg")
    assert (meta.source, meta.image_size, meta.grid) == (SOURCE, (60, 70), (7, 9))
    assert (meta.extractor, meta.settings) == ("color-texture", "s1")
    assert store.settings("s1") == '{"linkage": "ward"}'
    assert store.metas() == [meta]


def test_behaves_like_a_mapping(store, row):
    store.write([row("b.jpg"), row("a.jpg"), row("B.jpg")])
    assert len(store) == 3
    assert store.keys() == list(store) == ["B.jpg", "a.jpg", "b.jpg"]
    assert "a.jpg" in store
    assert "c.jpg" not in store
    store.remove(["a.jpg", "c.jpg"])
    assert store.keys() == ["B.jpg", "b.jpg"]
    with pytest.raises(StoreError, match=r"no tree of 'a.jpg'.*clickgrain propose"):
        store["a.jpg"]


def test_writing_again_replaces(store, row):
    store.write([row("a.jpg", seed=1)])
    store.write([row("a.jpg", seed=2, h=3)])
    assert len(store) == 1
    assert store["a.jpg"].grid == (3, 6)


def test_opening_again_continues(store, row):
    store.write([row("a.jpg")])
    assert ProposalStore.create(store.path).keys() == ["a.jpg"]


def test_touch_keeps_the_tree(store, row):
    store.write([row("a.jpg")])
    store.touch("a.jpg", Source(SOURCE.sha256, 1234, 9999))
    assert store.find("a.jpg").source == Source(SOURCE.sha256, 1234, 9999)
    assert store["a.jpg"].grid == (5, 6)


def test_shards_merge(store, row, tmp_path):
    other = ProposalStore.create(tmp_path / "shard 2.db")
    store.write([row("a.jpg", seed=1)])
    other.write([row("a.jpg", seed=2), row("b.jpg")], {"s1": "{}"})
    assert store.merge(other) == 2
    assert_same_tree(store["a.jpg"], other["a.jpg"])
    assert store.keys() == ["a.jpg", "b.jpg"]
    assert store.settings("s1") == "{}"


@pytest.fixture
def shards(tmp_path, row):
    """a, b in the first; b (another tree), c in the second."""
    first, second = (ProposalStore.create(tmp_path / "shards" / f"{i}.db") for i in (1, 2))
    first.write([row("a.jpg", seed=1), row("b.jpg", seed=2)], {"s1": "{}"})
    second.write([row("b.jpg", seed=3), row("c.jpg", seed=4)], {"s2": "[]"})
    with first, second:
        yield tmp_path / "shards"


@pytest.mark.parametrize("where", [str, lambda folder: folder / "*.db", lambda folder: sorted(folder.glob("*.db"))])
def test_shards_behave_as_one(shards, where, make_random_tree):
    with ProposalStore.open(where(shards)) as store:
        assert store.keys() == ["a.jpg", "b.jpg", "c.jpg"] == [meta.key for meta in store.metas()]
        assert len(store) == 3
        assert "c.jpg" in store
        assert "d.jpg" not in store
        assert (store.settings("s1"), store.settings("s2")) == ("{}", "[]")
        for key, seed in (("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 4)):
            assert_same_tree(store[key], make_random_tree(5, 6, seed, image_size=(40, 48)))


def test_a_new_tree_in_shards_replaces_the_old_one(shards, row):
    with ProposalStore.create(shards) as store:
        store.write([row("c.jpg", seed=9, h=3)])
        store.touch("b.jpg", Source("x", 1, 2))
        assert store["c.jpg"].grid == (3, 6)
    with ProposalStore(shards / "2.db") as second:
        assert second.keys() == ["b.jpg"]
        assert second.find("b.jpg").source.mtime_ns == 2


def test_a_store_of_shards_merges_as_it_reads(shards, tmp_path):
    with ProposalStore.create(tmp_path / "all.db") as joined, ProposalStore.open(shards) as store:
        joined.merge(store)
        assert joined.keys() == store.keys()
        assert_same_tree(joined["b.jpg"], store["b.jpg"])


def test_compact_drops_copies_and_gives_space_back(shards, row):
    with ProposalStore.open(shards) as store:
        store.write([row(f"{i}.jpg", seed=i, h=40, w=40) for i in range(30)])
        store.remove([f"{i}.jpg" for i in range(30)])
        tree = store["b.jpg"]
        assert store.compact() > 100_000
        assert_same_tree(store["b.jpg"], tree)
        assert len(store) == 3
    with ProposalStore(shards / "2.db") as second:
        assert second.keys() == ["c.jpg"]


def test_verify_names_and_removes_what_is_damaged(shards):
    with sqlite3.connect(shards / "1.db") as db:
        db.execute("UPDATE trees SET cost = x'00' WHERE path = 'a.jpg'")
    db.close()
    whole, problems = verify(shards / "1.db")
    assert whole == 1
    assert len(problems) == 1
    assert "1.db: the tree of 'a.jpg' was damaged" in problems[0]
    assert verify(shards / "1.db") == (1, [])
    (shards / "3.db").write_bytes(b"no database at all" * 100)
    assert "not a proposal store" in verify(shards / "3.db")[1][0]


def test_no_shards(tmp_path):
    for where in (tmp_path, tmp_path / "*.db", []):
        with pytest.raises(StoreError, match=r"no proposal store at|no files"):
            ProposalStore.open(where)


def read_in_child(store, keys, queue):
    queue.put([int(store[key].children.sum()) for key in keys])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_read_side_by_side(store, row, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    store.write([row(f"{i}.jpg", seed=i) for i in range(5)])
    expected = [int(store[key].children.sum()) for key in store]
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    children = [context.Process(target=read_in_child, args=(store, store.keys(), queue)) for _ in range(2)]
    for child in children:
        child.start()
    answers = [queue.get(timeout=60) for _ in children]
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert answers == [expected, expected]
    store.write([row("after.jpg")])
    assert len(store) == 6


def test_threads_read_while_one_writes(store, row):
    store.write([row(f"{i}.jpg", seed=i) for i in range(4)])
    errors = []

    def read():
        try:
            for _ in range(30):
                assert all(store[key].n_leaves == 30 for key in store)
        except BaseException as error:
            errors.append(error)
        finally:
            store.close()

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for i in range(20):
        store.write([row(f"new {i}.jpg", seed=i)])
    for reader in readers:
        reader.join()
    assert errors == []


def test_two_creators_at_once(tmp_path):
    path, errors = tmp_path / "trees.db", []

    def create():
        try:
            ProposalStore.create(path).close()
        except StoreError as error:
            errors.append(error)

    creators = [threading.Thread(target=create) for _ in range(6)]
    for creator in creators:
        creator.start()
    for creator in creators:
        creator.join()
    assert errors == []
    assert len(ProposalStore(path)) == 0


def test_no_such_file(tmp_path):
    with pytest.raises(StoreError, match=r"no proposal store at .*missing\.db; make one"):
        ProposalStore(tmp_path / "missing.db")
    assert not (tmp_path / "missing.db").exists()
    with pytest.raises(StoreError, match="is a folder"):
        ProposalStore.create(tmp_path)


def test_not_a_database(tmp_path):
    path = tmp_path / "notes.db"
    path.write_bytes(b"these are only notes, and long enough to be a database header ........" * 20)
    with pytest.raises(StoreError, match=r"notes\.db is not a proposal store"):
        ProposalStore(path)
    with pytest.raises(StoreError, match=r"notes\.db is not a proposal store"):
        ProposalStore.create(path)
    assert path.read_bytes().startswith(b"these are only notes")


def test_another_database(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE cats (name TEXT)")
    connection.close()
    with pytest.raises(StoreError, match=r"other\.db is a database but no proposal store"):
        ProposalStore.create(path)


def test_another_version(store):
    store.close()
    with sqlite3.connect(store.path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match=r"trees\.db is a proposal store of version 99.*delete it"):
        ProposalStore(store.path)


def test_a_damaged_row_names_file_and_photo(store, row):
    store.write([row("a.jpg"), row("b.jpg")])
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE trees SET children = x'00' WHERE path = 'a.jpg'")
        connection.execute("UPDATE trees SET rows = 99 WHERE path = 'b.jpg'")
    connection.close()
    for key in ("a.jpg", "b.jpg"):
        with pytest.raises(
            StoreError, match=rf"trees\.db: the tree of '{key}' was damaged .*learn` again to make it"
        ):
            store[key]
        assert key not in store  # so that it is made again


def test_a_name_of_any_length_is_told_in_a_short_message(store, row):
    store.write([row("[" * 5000)])
    with pytest.raises(StoreError, match=r"holds no tree of '\(\(") as none:
        store["(" * 5000]
    store._connections.get().execute("UPDATE trees SET cost = x'00'")
    store._connections.get().commit()
    with pytest.raises(StoreError, match=r"the tree of '\[\[") as damaged:
        store["[" * 5000]
    assert max(len(str(told.value)) for told in (none, damaged)) < 2_000


@pytest.mark.parametrize("column", ["children", "cost", "rows", "columns", "height", "width"])
@pytest.mark.parametrize("value", ["'words'", "x'ff'", "-3", "0"])
def test_any_value_in_a_row_is_damage_and_no_traceback(store, row, column, value):
    store.write([row("a.jpg")])
    store._connections.get().execute(f"UPDATE trees SET {column} = {value}")
    store._connections.get().commit()
    with pytest.raises(StoreError, match=r"the tree of 'a\.jpg' was damaged"):
        store["a.jpg"]


def test_a_text_times_a_number_is_not_computed(store, row):
    store.write([row("a.jpg")])
    store._connections.get().execute("UPDATE trees SET rows = ':', columns = 345990000000")
    with pytest.raises(StoreError, match=r"was damaged .its size is no pair of numbers"):
        store["a.jpg"]


def test_a_row_that_unpacks_to_gigabytes_takes_no_memory(store, row):
    good = row("a.jpg")
    bomb = zlib.compress(bytes(50_000_000), 9)
    store.write([Row(good.meta, bomb, good.cost)])
    tracemalloc.start()
    with pytest.raises(StoreError, match="damaged"):
        store["a.jpg"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_a_file_damaged_anywhere_gives_store_errors_with_a_remedy_alone(store, row, tmp_path):
    store.write([row(f"{i}.jpg", seed=i, h=12, w=12) for i in range(30)], {"s1": "{}"})
    store._connections.get().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    good, rng = store.path.read_bytes(), np.random.default_rng(0)
    messages = set()
    for i in range(250):
        bad = bytearray(good[: int(rng.integers(len(good)))] if i % 3 == 0 else good)
        for _ in range(int(rng.integers(1, 12)) if bad and i % 3 else 0):
            bad[int(rng.integers(len(bad) if i % 3 == 1 else 4096))] = int(rng.integers(256))
        path = tmp_path / f"{i}.db"
        path.write_bytes(bad)
        uses = ("keys", "metas", "__len__", lambda s: s["7.jpg"], lambda s: s.write([row("new.jpg")]))
        for use in uses:
            try:
                with ProposalStore(path) as damaged:
                    getattr(damaged, use)() if isinstance(use, str) else use(damaged)
            except StoreError as error:
                messages.add(str(error))
    assert len(messages) > 50
    assert all(re.search("; (delete it|give another path|run|check)|: (free)", message) for message in messages)


def write_for_ever(path, made):
    """In a process that is killed."""
    store = ProposalStore(path)
    for i in range(10**6):
        store.write([Row.of(f"{i}.jpg", SOURCE, made, "color-texture", "s1")])


def test_a_writer_that_is_killed_leaves_whole_trees(store, make_random_tree):
    tree = make_random_tree(5, 6, 0)
    writer = multiprocessing.get_context("spawn").Process(target=write_for_ever, args=(store.path, tree))
    writer.start()
    deadline = time.monotonic() + 120
    while len(store) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    writer.kill()
    writer.join()
    store.close()
    there = ProposalStore(store.path)
    assert len(there) >= 20
    for key in there:
        assert_same_tree(there[key], tree)


def test_trees_in_the_log_of_a_stopped_run_are_not_passed_over(store, row, monkeypatch):
    """Where the folder cannot be written to, SQLite would read the file without its log."""
    store.write([row("a.jpg")])
    held = store._connections.get()  # keeps the log
    monkeypatch.setattr("clickgrain.sqlite.os.access", lambda path, mode: False)
    with pytest.raises(StoreError, match=r"has trees in trees\.db-wal, .*copy both files"):
        ProposalStore(store.path)
    held.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert ProposalStore(store.path).keys() == ["a.jpg"]


def test_children_that_are_no_tree_are_damage(store, row):
    good = row("a.jpg")
    store.write([Row(good.meta, row("a.jpg", seed=5).cost, good.cost)])
    with pytest.raises(StoreError, match="damaged"):
        store["a.jpg"]


def test_locked_for_too_long(store, row):
    other = sqlite3.connect(store.path)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StoreError, match=r"trees\.db is in use by another process"):
            store.write([row("a.jpg")])
    finally:
        other.rollback()
        other.close()
    store.write([row("a.jpg")])
    assert store.keys() == ["a.jpg"]


def test_full_disk_keeps_finished_rows(store, row):
    store.write([row("a.jpg")])
    pages = store._connections.get().execute("PRAGMA page_count").fetchone()[0]
    store._connections.get().execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreError, match=r"cannot write to .*trees\.db .*full.*free some space"):
        store.write([row(f"{i}.jpg", h=40, w=40) for i in range(8)])
    assert store.keys() == ["a.jpg"]
    store.close()  # a new connection has no limit: the space is back
    store.write([row("b.jpg")])
    assert ProposalStore(store.path).keys() == ["a.jpg", "b.jpg"]


def test_a_folder_that_cannot_be_written_can_be_read(store, row, monkeypatch):
    store.write([row("a.jpg")])
    store.close()
    monkeypatch.setattr("clickgrain.sqlite.os.access", lambda path, mode: False)
    with ProposalStore(store.path) as reader:
        assert reader["a.jpg"].n_leaves == 30
        with pytest.raises(StoreError, match="cannot be written to"):
            reader.write([row("b.jpg")])
