"""`propose` over sources and to stores at URLs: S3 by moto's server, a web server that breaks."""

import sqlite3
import sys
import tarfile
from pathlib import Path

import cv2
import fsspec
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "images"))
from servers import s3, web_of

from clickgrain import cli
from clickgrain.errors import StoreError
from clickgrain.features import load_extractor
from clickgrain.images import remote
from clickgrain.proposals import remote_store
from clickgrain.proposals.pipeline import propose
from clickgrain.proposals.remote_store import on_this_machine
from clickgrain.proposals.store import ProposalStore


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    monkeypatch.setattr(remote, "PAUSE", 0.001)
    monkeypatch.setenv("CLICKGRAIN_CACHE", str(tmp_path / "cache"))


def png(seed):
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 5, 3), np.uint8)
    return cv2.imencode(".png", cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_NEAREST))[1].tobytes()


@pytest.fixture
def bucket(monkeypatch):
    with s3(monkeypatch, "bucket") as address:
        for i in range(6):
            fsspec.filesystem("s3").pipe(f"bucket/photos/{i % 2}/{i}.png", png(i))
        yield address


def run(source, store, **settings):
    return propose(source, store, extractor=load_extractor("color-texture"), progress=False, **settings)


def rows(file):
    db = sqlite3.connect(file)
    try:
        return db.execute("SELECT path, source_hash, settings, children, cost FROM trees ORDER BY path").fetchall()
    finally:
        db.close()


def test_s3_gives_the_rows_of_a_local_folder_and_continues(bucket, tmp_path):
    for i in range(6):
        path = tmp_path / "photos" / f"{i % 2}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(i))
    run(tmp_path / "photos", tmp_path / "local.db")
    parts = [run(f"{bucket}/photos", tmp_path / "remote.db", shard=f"{i}/2") for i in (1, 2)]
    assert sum(part.done for part in parts) == 6
    assert rows(tmp_path / "remote.db") == rows(tmp_path / "local.db")
    fsspec.filesystem("s3").pipe("bucket/photos/1/1.png", png(9))
    fsspec.filesystem("s3").pipe("bucket/photos/1/3.png", png(3))  # written again, the same
    fsspec.filesystem("s3").invalidate_cache()
    again = run(f"{bucket}/photos", tmp_path / "remote.db")
    assert (again.done, again.skipped, again.failed) == (1, 5, [])


@pytest.mark.filterwarnings("ignore")  # of Google's packages
def test_gs_gives_the_rows_of_a_local_folder_and_continues(tmp_path, monkeypatch):
    """Skipped without gcsfs and the emulator: pip install gcsfs gcp-storage-emulator."""
    # Read on import: it would ask Google's own address.
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    pytest.importorskip("gcsfs", reason="needs pip install 'clickgrain[remote]'")
    emulator = pytest.importorskip("gcp_storage_emulator.server", reason="needs pip install gcp-storage-emulator")
    server = emulator.create_server("localhost", 0, in_memory=True, default_bucket="bucket")
    server.start()
    try:
        port = server._api._httpd.socket.getsockname()[1]
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://localhost:{port}")
        for name in ("gs", "gcs"):
            monkeypatch.setitem(fsspec.config.conf, name, {"token": "anon"})
        bucket = fsspec.filesystem("gs")
        (tmp_path / "photos").mkdir()
        with tarfile.open(tmp_path / "web.tar", "w") as tar:
            for i in range(6):
                (tmp_path / "photos" / f"{i}.png").write_bytes(png(i))
                tar.add(tmp_path / "photos" / f"{i}.png", f"{i}.png")
                bucket.pipe(f"bucket/photos/{i}.png", png(i))
        bucket.put(str(tmp_path / "web.tar"), "bucket/web.tar")
        run(tmp_path / "photos", tmp_path / "local.db")
        assert run("gs://bucket/photos", tmp_path / "remote.db").done == 6
        assert rows(tmp_path / "remote.db") == rows(tmp_path / "local.db")
        assert run("gs://bucket/web.tar", tmp_path / "tar.db").done == 6
        bucket.pipe("bucket/photos/1.png", png(9))
        bucket.invalidate_cache()
        again = run("gs://bucket/photos", tmp_path / "remote.db")
        assert (again.done, again.skipped, again.failed) == (1, 5, [])
        assert command("gs://bucket/photos", "--out", "gs://bucket/shards/1.db") == 0
        with ProposalStore.open("gs://bucket/shards") as store:
            assert len(store) == 6
    finally:
        server.stop()


def test_a_list_over_a_breaking_line(tmp_path):
    with web_of({f"{i}.png": png(i) for i in range(5)}) as web:
        (tmp_path / "urls.txt").write_text("".join(f"{web.url}/{i}.png\n" for i in range(5)))
        web.broken, web.cut = {"1.png": 1, "3.png": 1000}, {"2.png": 1}
        report = run(tmp_path / "urls.txt", tmp_path / "t.db")
        assert report.done == 4
        assert [f"{web.url}/3.png" in failure.reason for failure in report.failed] == [True]
        web.broken.clear()
        web.asked.clear()
        again = run(tmp_path / "urls.txt", tmp_path / "t.db")
        assert (again.done, again.skipped) == (1, 4)
        assert web.asked == [("GET", "3.png")]


def command(*words):
    return cli.main(["propose", *map(str, words), "--extractor", "color-texture"])


class TestStores:
    def test_a_store_at_a_url_is_made_continued_and_opened(self, bucket, tmp_path, monkeypatch, capsys):
        out = f"{bucket}/shards/1.db"
        assert command(f"{bucket}/photos", "--out", out, "--ignore", "1") == 0
        monkeypatch.setenv("CLICKGRAIN_CACHE", str(tmp_path / "another machine"))
        assert command(f"{bucket}/photos", "--out", out) == 0
        assert "3 trees made, 3 there already" in capsys.readouterr().out
        with ProposalStore.open(f"{bucket}/shards") as store:
            assert len(store) == 6
            copy = store.path
        written = copy.stat().st_mtime_ns
        ProposalStore.open(f"{bucket}/shards/*.db").close()
        assert copy.stat().st_mtime_ns == written  # the copy of the same version is used again
        monkeypatch.setenv("CLICKGRAIN_CACHE", str(tmp_path / "cache"))
        assert len(ProposalStore.open(out)) == 6  # an older copy is not

    def test_a_copy_of_a_killed_run_is_continued(self, bucket, tmp_path, capsys):
        out = f"{bucket}/shards/1.db"
        copy = remote_store._copy_of(*remote.file_system(out))
        assert 0 < run(f"{bucket}/photos", copy, shard="1/2").done < 6
        assert command(f"{bucket}/photos", "--out", out) == 0
        done = int(capsys.readouterr().out.split()[0])
        assert 0 < done < 6
        assert len(ProposalStore.open(out)) == 6

    def test_what_is_no_store_is_said_and_stays_as_it_is(self, bucket, capsys):
        system = fsspec.filesystem("s3")
        system.pipe("bucket/1.db", b"no database" * 99)
        assert command(f"{bucket}/photos", "--out", f"{bucket}/1.db") == 1
        assert "1.db: not a proposal store" in "".join(capsys.readouterr().err.split("\n"))
        assert system.cat("bucket/1.db") == b"no database" * 99

    def test_a_damaged_note_of_the_version_is_made_again(self, bucket):
        out = f"{bucket}/1.db"
        assert command(f"{bucket}/photos", "--out", out) == 0
        note = remote_store._copy_of(*remote.file_system(out)).with_name(remote_store.VERSION)
        good = note.read_bytes()
        note.write_bytes(b"\xff")
        assert len(ProposalStore.open(out)) == 6
        assert note.read_bytes() == good

    def test_where_no_store_can_be_written(self, bucket, tmp_path):
        for out in (f"{bucket}/folder", "https://example.org/a.db"):
            with pytest.raises(StoreError, match=r"write to a file \*\.db"), on_this_machine(out):
                pass
        with pytest.raises(StoreError, match="written on this machine"):
            ProposalStore.create(f"{bucket}/a.db")
        with pytest.raises(StoreError, match="no proposal store"):
            ProposalStore.open(f"{bucket}/none")
        assert command(tmp_path, "--out", f"{bucket}/x", "--engine", "ray") == 2

    def test_a_failed_upload_keeps_the_trees(self, bucket, tmp_path, monkeypatch):
        import s3fs

        async def full(*args, **options):
            raise OSError("quota exceeded")

        with monkeypatch.context() as patch:
            patch.setattr(s3fs.S3FileSystem, "_put_file", full)
            s3fs.S3FileSystem.clear_instance_cache()  # instances hold the method
            with (
                pytest.raises(StoreError, match="quota exceeded") as told,
                on_this_machine(f"{bucket}/a.db") as copy,
            ):
                run(f"{bucket}/photos", copy)
        s3fs.S3FileSystem.clear_instance_cache()
        assert str(copy) in str(told.value)
        assert len(ProposalStore(copy)) == 6
        with on_this_machine(f"{bucket}/a.db") as again:
            assert run(f"{bucket}/photos", again).skipped == 6
        assert len(ProposalStore.open(f"{bucket}/a.db")) == 6
