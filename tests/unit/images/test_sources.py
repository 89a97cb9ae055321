import io
import re
import sys
import tarfile
import threading

import fsspec
import numpy as np
import pytest
from PIL import Image
from servers import s3, web_of

from clickgrain.errors import ConfigError, DataError, ImageError
from clickgrain.files import hash_bytes
from clickgrain.images import ReadReport, list_images, read_image, read_images, remote, walk


def png(value, size=(8, 9)):
    file = io.BytesIO()
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def tar_of(files):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    monkeypatch.setattr(remote, "PAUSE", 0.001)
    monkeypatch.setenv("CLICKGRAIN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def values(source, **options):
    """Key -> gray value of all images of a source."""
    report = ReadReport()
    found = {
        file.key: int(image[0, 0, 0]) for file, image in read_images(list_images(source, **options), report=report)
    }
    assert report.bad == []
    return found


class TestFolders:
    def test_local_as_find_images_sees_it(self, tmp_path):
        (tmp_path / "b").mkdir()
        for i, name in enumerate(("b/10.png", "b/9.png", "a.png")):
            (tmp_path / name).write_bytes(png(i))
        assert values(tmp_path) == {"a.png": 2, "b/9.png": 1, "b/10.png": 0}
        assert list(values(tmp_path)) == ["a.png", "b/9.png", "b/10.png"]
        assert values(tmp_path / "a.png") == {"a.png": 2}

    def test_memory_is_walked_once_in_the_same_order(self, memory, monkeypatch):
        for i, name in enumerate(
            ("b/10.png", "b/9.png", "A.PNG", "no.txt", ".hidden.png", ".git/x.png", "raw/1.nef")
        ):
            memory.pipe(f"/photos/{name}", png(i))
        walks, find = [], type(memory).find
        monkeypatch.setattr(type(memory), "find", lambda *a, **k: walks.append(1) or find(*a, **k))
        left_out = []
        assert list(values("memory://photos", left_out=left_out).items()) == [
            ("A.PNG", 2),
            ("b/9.png", 1),
            ("b/10.png", 0),
        ]
        assert walks == [1]
        assert "raw/1.nef" in left_out[0]
        assert values("memory://photos", ignore=["b"]) == {"A.PNG": 2}
        assert values("memory://photos/b/9.png") == {"9.png": 1}
        assert values("memory://photos/b/*.png") == {"9.png": 1, "10.png": 0}

    def test_s3(self, monkeypatch):
        with s3(monkeypatch, "photos") as bucket:
            system = fsspec.filesystem("s3")
            system.pipe("photos/a/1.png", png(1))
            system.pipe("photos/a/2.png", png(2))
            system.pipe("photos/t-0.tar", tar_of({"x.png": png(3)}))
            assert values(bucket) == {"a/1.png": 1, "a/2.png": 2, "t-0.tar/x.png": 3}
            assert (read_image(f"{bucket}/a/2.png") == 2).all()
            first = list_images(f"{bucket}/a")[0]
            system.pipe("photos/a/1.png", png(7))
            system.invalidate_cache()
            assert list_images(f"{bucket}/a")[0].state != first.state
            with pytest.raises(DataError, match="no images found"):
                list_images(f"{bucket}/nothing")

    def test_nothing_there(self, memory):
        with pytest.raises(DataError, match=r"memory://none: (no images|cannot be listed)"):
            list_images("memory://none")

    def test_the_hash_is_that_of_the_bytes(self, memory):
        memory.pipe("/photos/a.png", png(1))
        (file, _), *_ = read_images(list_images("memory://photos"))
        assert file.sha256 == hash_bytes(png(1))
        assert file.state[0] == len(png(1))


class TestLists:
    def test_a_text_of_addresses_and_paths(self, tmp_path, memory):
        memory.pipe("/x/a.png", png(1))
        (tmp_path / "b.png").write_bytes(png(2))
        (tmp_path / "urls.txt").write_text("# photos\nmemory://x/a.png\n\nb.png\n")
        assert values(tmp_path / "urls.txt") == {"x/a.png": 1, "b.png": 2}

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("l.csv", 'id,url\n"1","{0}/a.png"\n2,{0}/b.png?w=1\n'),
            ("l.csv", "{0}/a.png\n{0}/b.png?w=1\n"),
            ("l.tsv", "path\tlabel\n{0}/a.png\tx\n{0}/b.png?w=1\ty\n"),
        ],
    )
    def test_tables_here_and_on_a_web_server(self, tmp_path, name, text):
        with web_of({"a.png": png(1), "b.png?w=1": png(2)}) as web:
            web.files[name] = text.format(web.url).encode()
            (tmp_path / name).write_bytes(web.files[name])
            host = web.url.removeprefix("http://")
            for source in (tmp_path / name, f"{web.url}/{name}"):
                assert values(source) == {f"{host}/a.png": 1, f"{host}/b.png?w=1": 2}

    def test_an_image_without_a_listing_is_read_again_and_again(self, tmp_path):
        """Its size is known from the first time."""
        with web_of({"a.png": png(1)}) as web:
            (tmp_path / "l.txt").write_text(f"{web.url}/a.png\n")
            files = list_images(tmp_path / "l.txt")
            assert files[0].state is None
            for _ in range(2):
                files = [file for file, _ in read_images(files)]
            assert [file.state for file in files] == [(len(png(1)), 0)]

    def test_lines_without_an_address_are_left_out_and_named(self, tmp_path):
        (tmp_path / "b.png").write_bytes(png(2))
        path, left_out = tmp_path / "l.csv", []
        path.write_text('id,label,url\n1\n2,x,b.png\n3,y,\n"",x,\n')
        assert values(path, left_out=left_out) == {"b.png": 2}
        assert left_out == [f"{path}: 3 lines without an address are left out, the first is row 2"]

    def test_a_table_that_is_none(self, tmp_path):
        (tmp_path / "l.csv").write_text(f'url\n"{"x" * 200_000}"\n')
        with pytest.raises(DataError, match=r"l\.csv: the list cannot be read \(field larger"):
            list_images(tmp_path / "l.csv")

    def test_a_list_that_is_not_there(self):
        with web_of({}) as web, pytest.raises(DataError, match="the list cannot be read"):
            list_images(f"{web.url}/l.txt")


FILES = {"0/a.jpg": png(1), "0/a.json": b"{}", "b.png": png(2), "._b.png": b"", "c.nef": b"?"}


class TestTars:
    def test_local_ones_in_a_folder_by_name_and_by_range(self, tmp_path):
        for i in range(3):
            (tmp_path / f"s-0{i}.tar").write_bytes(tar_of({"x.png": png(i)}))
        expected = {f"s-0{i}.tar/x.png": i for i in range(3)}
        assert values(tmp_path) == expected
        assert values(f"{tmp_path}/s-{{00..02}}.tar") == expected
        assert values(f"{tmp_path}/s-*.tar") == expected
        assert values(tmp_path / "s-01.tar") == {"s-01.tar/x.png": 1}

    def test_remote_is_listed_once_and_read_in_place(self):
        with web_of({"s.tar": tar_of(FILES)}) as web:
            left_out = []
            expected = {"s.tar/0/a.jpg": 1, "s.tar/b.png": 2}
            assert values(f"{web.url}/s.tar", left_out=left_out) == expected
            assert "c.nef" in left_out[0]
            before = web.count("s.tar")
            assert values(f"{web.url}/s.tar") == expected
            assert web.count("s.tar") == before + 2  # the images; the list is remembered

    def test_another_version_is_listed_again(self, memory):
        memory.pipe("/s.tar", tar_of({"a.png": png(1)}))
        assert values("memory://s.tar") == {"s.tar/a.png": 1}
        memory.pipe("/s.tar", tar_of({"b.png": png(2)}))
        assert values("memory://s.tar") == {"s.tar/b.png": 2}

    def test_a_server_without_ranges_gives_no_wrong_image(self):
        with web_of({"s.tar": tar_of({"a.png": png(1), "b.png": png(2)})}) as web:
            files = list_images(f"{web.url}/s.tar")
            web.ranges, report = False, ReadReport()
            assert list(read_images(files, report=report)) == []
            assert "bytes came instead of" in report.bad[0][1]

    @pytest.mark.parametrize(
        "damage", [b"", b"[[", b"\xff", b"[1]", b'[["a.png", 1]]', b"[[null, 0, 9]]", b'[["a", "0", 9]]']
    )
    def test_a_damaged_list_of_places_is_made_again(self, tmp_path, monkeypatch, damage):
        monkeypatch.setenv("CLICKGRAIN_CACHE", str(tmp_path / "cache"))
        (tmp_path / "s.tar").write_bytes(tar_of({"a.png": png(1)}))
        for _ in range(2):
            assert values(tmp_path / "s.tar") == {"s.tar/a.png": 1}
            (known,) = (tmp_path / "cache" / "tars").iterdir()
            assert known.read_bytes() == b'[["a.png", 512, %d]]' % len(png(1))
            known.write_bytes(damage)

    def test_a_list_of_places_that_cannot_be_kept_is_made_each_time(self, tmp_path, monkeypatch):
        monkeypatch.setenv("CLICKGRAIN_CACHE", str(tmp_path / "cache"))
        (tmp_path / "cache").mkdir()
        (tmp_path / "cache" / "tars").touch()  # where the folder would be
        (tmp_path / "s.tar").write_bytes(tar_of({"a.png": png(1)}))
        assert values(tmp_path / "s.tar") == {"s.tar/a.png": 1}

    def test_what_is_no_tar(self, tmp_path):
        (tmp_path / "s.tar").write_bytes(b"nonsense" * 100)
        with pytest.raises(DataError, match=r"s\.tar: the tar cannot be read"):
            list_images(tmp_path / "s.tar")


class TestBreakingConnections:
    def test_a_few_breaks_cost_nothing(self, tmp_path):
        with web_of({f"{i}.png": png(i) for i in range(4)}) as web:
            web.broken, web.cut = {"1.png": 3, "urls.txt": 1}, {"2.png": 2}
            web.files["urls.txt"] = "".join(f"{web.url}/{i}.png\n" for i in range(4)).encode()
            assert list(values(f"{web.url}/urls.txt").values()) == [0, 1, 2, 3]
            assert web.count("1.png") == 4

    def test_for_good_names_the_file_and_goes_on(self, tmp_path):
        with web_of({f"{i}.png": png(i) for i in range(3)}) as web:
            web.broken["1.png"] = 1000
            (tmp_path / "l.txt").write_text("".join(f"{web.url}/{i}.png\n" for i in (0, 1, 9, 2)))
            report = ReadReport()
            read = read_images(list_images(tmp_path / "l.txt"), report=report)
            assert [int(image[0, 0, 0]) for _, image in read] == [0, 2]
            broken, missing = (reason for _, reason in report.bad)
            assert broken.startswith(f"{web.url}/1.png: cannot be read (503")
            assert missing == f"{web.url}/9.png: no such file; check the address"
            assert (web.count("1.png"), web.count("9.png")) == (remote.TRIES, 1)

    def test_pauses_grow(self, monkeypatch):
        slept = []
        monkeypatch.setattr(remote.time, "sleep", slept.append)
        monkeypatch.setattr(remote.random, "uniform", lambda low, high: high)

        def broken():
            raise OSError("line cut")

        with pytest.raises(OSError, match="line cut"):
            remote.retried(broken)
        assert slept == [0.001 * 2**i for i in range(remote.TRIES - 1)]


def test_reading_ahead_is_bounded(memory, monkeypatch):
    for i in range(100):
        memory.pipe(f"/photos/{i}.png", png(i))
    fetched, decoded, lock = [], [], threading.Lock()
    content, decode = remote.ImageFile.content, walk.decode

    def counted(done, call):
        def count(*args, **options):
            with lock:
                done.append(1)
            return call(*args, **options)

        return count

    monkeypatch.setattr(remote.ImageFile, "content", counted(fetched, content))
    monkeypatch.setattr(walk, "decode", counted(decoded, decode))
    for number, _ in enumerate(read_images(list_images("memory://photos"), workers=2)):
        assert len(decoded) <= number + 1 + 2 * 2
        assert len(fetched) <= number + 1 + 2 * 2 + 32
    assert len(fetched) == 100


@pytest.mark.parametrize(
    ("source", "message"), [("nonsense://x/a", "nonsense"), ("abfs://x/a", r"pip install 'clickgrain\[remote\]'")]
)
def test_addresses_that_cannot_be_opened(monkeypatch, source, message):
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(ConfigError, match=message):
        list_images(source)


@pytest.mark.parametrize(
    "source", ["http://[x/a.tar", "s3://[/l.txt", "memory://[.tar", "zip://a.png::b.zip", "zip://l.txt::b.zip"]
)
def test_addresses_that_are_none(source):
    with pytest.raises((ConfigError, DataError), match=re.escape(source)):
        list_images(source)


def test_a_folder_of_a_web_server():
    with pytest.raises(DataError, match="web servers list no folders"):
        list_images("https://example.org/photos/")


def test_read_image_of_an_address(memory):
    memory.pipe("/a.png", png(3))
    assert (read_image("memory://a.png") == 3).all()
    with pytest.raises(ImageError, match=r"memory://none\.png: no such file"):
        read_image("memory://none.png")
