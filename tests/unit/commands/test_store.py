import sqlite3

import numpy as np
import pytest

from clickgrain import cli
from clickgrain.proposals.store import ProposalStore, Row, Source
from clickgrain.tree import MergeTree


@pytest.fixture
def shards(tmp_path):
    tree = MergeTree(np.array([[0, 1]]), np.zeros(1, np.float32), grid=(1, 2))
    for i in (1, 2):
        with ProposalStore.create(tmp_path / "shards" / f"{i}.db") as store:
            rows = [Row.of(key, Source("x", 1, 1), tree, "e", "s") for key in (f"{i}.jpg", "both.jpg")]
            store.write(rows, {"s": "{}"})
    return tmp_path / "shards"


def test_verify(shards, capsys):
    assert cli.main(["store", "verify", str(shards)]) == 0
    assert capsys.readouterr().out == f"{shards}/1.db: 2 trees whole\n{shards}/2.db: 2 trees whole\n"
    with sqlite3.connect(shards / "2.db") as db:
        db.execute("UPDATE trees SET cost = x'00' WHERE path = 'both.jpg'")
    db.close()
    assert cli.main(["store", "verify", str(shards / "*.db")]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[1].endswith("2.db: 1 trees whole, 1 faults")
    assert "both.jpg" in err.replace("\n", "")


def test_compact_in_place(shards, capsys):
    assert cli.main(["store", "compact", str(shards)]) == 0
    assert capsys.readouterr().out.startswith("3 trees in 2 stores")
    with ProposalStore(shards / "2.db") as store:
        assert store.keys() == ["2.jpg"]


def test_compact_into_one_file(shards, tmp_path, capsys):
    out = tmp_path / "all.db"
    command = ["store", "compact", str(shards / "1.db"), str(shards / "2.db"), "--out", str(out)]
    assert cli.main(command) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 3 trees of 2 stores")
    with ProposalStore(out) as store:
        assert store.keys() == ["1.jpg", "2.jpg", "both.jpg"]
    assert cli.main(command) == 1
    assert "exists" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.db", "shards"]


def test_misuse(tmp_path, capsys):
    assert cli.main(["store", "verify", str(tmp_path)]) == 1
    assert cli.main(["store", "verify", str(tmp_path), "--out", "x"]) == 2
    assert cli.main(["store", "compact", str(tmp_path / "missing.db")]) == 1
    assert "no proposal store" in capsys.readouterr().err
