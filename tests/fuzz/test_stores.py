"""Whatever bytes a store of trees or a project file has, it is read, or an error names the file."""

import sqlite3
from contextlib import closing, suppress

import numpy as np
import pytest
from hypothesis import strategies as st

from clickgrain.annotate import actions
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.project import Project
from clickgrain.annotate.requests import IMAGE_REQUEST, Posted
from clickgrain.annotate.statistics import collect
from clickgrain.annotate.transfer import image_records
from clickgrain.errors import ClickgrainError, StoreError
from clickgrain.features import load_extractor
from clickgrain.proposals.store import ProposalStore, Row, Source, verify
from clickgrain.tree import build_tree
from tests.fuzz.hostile import assert_named, changed_bytes, write_photos

pytestmark = pytest.mark.timeout(0)
CELLS = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.sampled_from([0, 1, -1, 2**31, 1e308, float("inf")]),
    st.text(max_size=8).filter(lambda text: "\ud800" not in text), st.binary(max_size=40),
    st.sampled_from(["[]", "{}", "null", "1e999", '{"put": 1}', '{"put": [{}]}', "[" * 5000]),
)  # fmt: skip


def whole(path):
    """The bytes of a database without a log."""
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return path.read_bytes()


def fill(path, content, changes):
    """Write a database with values in the cells that a WHERE names; a value that SQLite refuses is left out."""
    put(path, content)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for change, value in changes:
            with suppress(sqlite3.IntegrityError):
                db.execute(change, (value,))


def put(path, content):
    """Write bytes as a database of its own."""
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    path.write_bytes(content)


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    path = tmp_path_factory.mktemp("trees") / "trees.db"
    rng = np.random.default_rng(0)
    with ProposalStore.create(path) as store:
        for number in range(6):
            image = rng.integers(0, 255, (48, 64, 3), np.uint8)
            tree = build_tree(load_extractor("color-texture")(image), image.shape[:2])
            store.write(
                [Row.of(f"{number}.png", Source("0" * 20, 9, number), tree, "color-texture", "s")], {"s": "{}"}
            )
    return whole(path)


def use_trees(path):
    """All that is done with a store."""
    for use in (
        lambda store: store.keys(), lambda store: store.metas(), lambda store: store.find("3.png"),
        lambda store: [store.tree(key) for key in store.keys()], lambda store: store.settings("s"),  # noqa: SIM118
        lambda store: store.touch("1.png", Source("0" * 20, 9, 7)), lambda store: store.drop_copies(), len,
    ):  # fmt: skip
        with ProposalStore(path) as store:
            use(store)


def check_trees(path):
    assert_named(path.name, lambda: use_trees(path), StoreError)
    count, problems = verify(path)
    assert count >= 0
    assert all(path.name in problem for problem in problems)


def test_bytes_of_a_store(search, trees, tmp_path):
    path = tmp_path / "fuzzed.db"

    def check(content):
        put(path, content)
        check_trees(path)

    search(changed_bytes([trees]), check)


def test_cells_of_a_store(search, trees, tmp_path):
    path = tmp_path / "fuzzed.db"
    columns = (
        "path source_hash source_bytes source_mtime_ns height width extractor settings rows columns children cost"
    )

    def check(drawn):
        fill(path, trees, [(f"UPDATE trees SET {column} = ? WHERE rowid = 3", drawn[column]) for column in drawn])
        check_trees(path)

    search(st.dictionaries(st.sampled_from(columns.split()), CELLS, min_size=1, max_size=3), check)


@pytest.fixture(scope="module")
def annotated(tmp_path_factory):
    """Photos, and the bytes of a project on them."""
    folder = tmp_path_factory.mktemp("annotated")
    write_photos(folder)
    project = Project(folder, model="tree")
    for action in (
        {"kind": "object.add_steps", "steps": [{"type": "click", "x": 10, "y": 9, "label": 1}]},
        {"kind": "object.add_steps", "steps": [{"type": "brush", "points": [[3, 3], [20, 20]], "radius": 2}]},
        {"kind": "undo"},
    ):
        post = Posted(seq=project.logs.history(1).seq)
        actions.act(project, 1, post, IMAGE_REQUEST.validate_python(action))
    project.close()
    content = whole(folder / "clickgrain.db")
    (folder / "clickgrain.db").unlink()
    return folder, content


def use_project(folder, path):
    """Open it, look at everything, and draw."""
    project = Project(folder, path, model="tree")
    try:
        look = (
            lambda: project.gallery.rescan(), lambda: project.logs.labels(), lambda: collect(project),
            lambda: [project.logs.history(image).document for image in project.gallery.order],
            lambda: project.database.actions(1), lambda: project.database.models(),
            lambda: [list(record.objects()) for record in image_records(project)],
            lambda: actions.act(project,
                1, Posted(seq=project.logs.history(1).seq), IMAGE_REQUEST.validate_python({"kind": "clear"})
            ),
        )  # fmt: skip
        for one in look:
            assert_named("", one, ClickgrainError)
    finally:
        project.close()


def test_bytes_of_a_project(search, annotated, tmp_path):
    folder, good = annotated
    path = tmp_path / "project.db"

    def check(content):
        put(path, content)
        assert_named("", lambda: use_project(folder, path), RequestError, ClickgrainError)

    search(changed_bytes([good]), check, examples=25)


TABLES = {
    "images": ["id", "path", "height", "width", "native_height", "native_width"],
    "actions": ["image", "seq", "kind", "time", "client", "model", "active", "asked", "patch", "user"],
    "masks": ["hash", "data"],
    "summaries": ["image", "seq", "status", "objects", "clicks"],
    "models": ["id", "name", "kind", "hash", "source", "made", "report"],
    "settings": ["key", "value"],
}


def test_cells_of_a_project(search, annotated, tmp_path):
    folder, good = annotated
    path = tmp_path / "project.db"
    cells = [(table, column) for table, columns in TABLES.items() for column in columns]

    def check(drawn):
        changes = []
        for (table, column), value in drawn.items():
            key = TABLES[table][0]
            first = f"{key} = (SELECT {key} FROM {table} LIMIT 1)"
            changes.append((f"UPDATE {table} SET {column} = ? WHERE {first}", value))
        fill(path, good, changes)
        assert_named("", lambda: use_project(folder, path), ClickgrainError)

    search(st.dictionaries(st.sampled_from(cells), CELLS, min_size=1, max_size=3), check, examples=25)
