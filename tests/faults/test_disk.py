"""Full disks, folders that cannot be written to, lost permissions: a refusal in words, then as if nothing was."""

import shutil
import stat
import subprocess
from contextlib import suppress

import httpx2
import pytest

from tests.faults.outcome import COMMANDS, assert_whole, begin, result_of, trees_of
from tests.faults.test_kills import address_of


def assert_refused(status, said, *words):
    """An error in words, which names the place; no traceback."""
    assert status in (1, 2), said
    assert "Traceback" not in said, said
    assert all(word in said for word in words), said


@pytest.fixture
def finishes(machine, commands, whole):
    """Run a command again, now undisturbed: it ends as if nothing had been."""

    def check(folder, name="learn"):
        status, said = machine.run(*commands[name](folder))
        assert status == 0, said
        assert_whole(name, folder, whole[0])

    return check


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_limit_on_files_fills_the_disk_anywhere(
    machine, commands, whole, finishes, tmp_path, rng, everything, count, name
):
    """No file may grow beyond a limit, so that it is the first larger one that cannot be written."""
    folder = whole[0] if name == "propose" else whole[0] / "model"
    files = [*folder.iterdir()] + ([whole[0] / "trees.db"] if name == "learn" else [])
    # what the command says goes into a file too
    sizes = [path.stat().st_size for path in files if path.is_file() and path.stat().st_size > 5000]
    refused, turns = 0, 12 if everything else 1
    for turn in range(turns):
        folder = begin(name, tmp_path / f"{turn}", whole[0])
        limit = rng.randint(4500, rng.choice(sizes) - 1)
        status, said = machine.run(*commands[name](folder), largest_file=limit)
        if status:
            assert_refused(status, said, str(folder), "free some space")
            refused += 1
        finishes(folder, name)
    assert refused > 0
    count(f"{turns} limits, {refused} runs refused and finished later")


@pytest.fixture
def small_disk(tmp_path):
    """A disk of two megabytes; `leave(bytes)` fills all but so much of it, `leave(None)` frees it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True
    )
    if not mount or mount.returncode:
        pytest.skip("only root mounts disks; the test with a limit on files does without")

    def leave(free):
        ballast = disk / "ballast"
        ballast.unlink(missing_ok=True)
        if free is not None:
            space = shutil.disk_usage(disk).free - free
            with suppress(OSError), ballast.open("wb", buffering=0) as file:
                file.write(bytes(max(space, 0)))
        return disk

    yield leave
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_that_is_full(machine, commands, whole, finishes, small_disk, rng, everything, name):
    if not everything:
        pytest.skip("in the long half")
    most = 10_000 if name == "propose" else 300_000  # bytes, of which it needs more
    for _ in range(6):
        disk = begin(name, small_disk(None), whole[0])
        small_disk(rng.randint(0, most))
        status, said = machine.run(*commands[name](disk))
        assert_refused(status, said, str(disk), "space")
        small_disk(None)
        finishes(disk, name)
        for path in disk.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_the_server_says_that_the_disk_is_full_and_keeps_what_it_confirmed(machine, commands, tmp_path):
    def post(client, seq):
        step = {"type": "brush", "points": [[seq % 60, 5], [60, 40]], "radius": 2 + seq % 7}
        body = {"seq": seq, "action": {"kind": "object.add_steps", "steps": [step]}}
        return client.post("/api/images/1/actions", json=body)

    job = machine.start(*commands["annotate"](tmp_path), largest_file=90_000)
    seq = 0
    with httpx2.Client(base_url=address_of(job), headers={"X-Clickgrain": "1"}, timeout=60) as client:
        while (answer := post(client, seq)).status_code == 200:
            seq = answer.json()["seq"]
        assert (answer.status_code, answer.json()["error"]["code"]) == (507, "disk_full")
        assert "free some space" in answer.json()["error"]["message"]
        assert seq > 0
    job.kill()
    assert "Traceback" not in job.text()
    job = machine.start(*commands["annotate"](tmp_path))
    with httpx2.Client(base_url=address_of(job), headers={"X-Clickgrain": "1"}, timeout=60) as client:
        actions = client.get("/api/images/1/log").json()["actions"]
        assert [action["seq"] for action in actions] == list(range(1, seq + 1))
        assert post(client, seq).status_code == 200
    job.kill()


@pytest.mark.parametrize("name", ["propose", "learn", "annotate"])
def test_a_folder_that_cannot_be_written_to(machine, commands, tmp_path, name):
    tmp_path.chmod(0o555)
    assert_refused(*machine.run(*commands[name](tmp_path), obeys=True), str(tmp_path))
    tmp_path.chmod(0o755)
    assert not list(tmp_path.iterdir())


def test_a_store_that_can_only_be_read_is_trained_on(machine, commands, whole, tmp_path):
    shutil.copy(whole[0] / "trees.db", tmp_path)
    (tmp_path / "model").mkdir()
    tmp_path.chmod(0o555)
    status, said = machine.run(*commands["train"](tmp_path), obeys=True)
    assert status == 0, said
    assert result_of(tmp_path / "model") == result_of(whole[0] / "model")


@pytest.mark.parametrize("lost", [".", "state.pt", "run.json", "metrics.jsonl", "proposals.db", "previews"])
def test_permissions_that_are_lost_between_two_runs(machine, commands, finishes, tmp_path, everything, lost):
    if not (everything or lost == "state.pt"):
        pytest.skip("in the long half")
    job = machine.start(*commands["learn"](tmp_path))
    job.watch((tmp_path / "model" / "previews").is_dir)
    job.kill()
    place = tmp_path / "model" / lost
    before = stat.S_IMODE(place.stat().st_mode)
    place.chmod(0o555 if place.is_dir() else 0)
    status, said = machine.run(*commands["learn"](tmp_path), obeys=True)
    assert_refused(status, said, str(place))
    place.chmod(before)
    finishes(tmp_path)


def test_a_folder_that_is_locked_while_it_is_trained_in(machine, commands, finishes, tmp_path):
    job = machine.start(*commands["learn"](tmp_path), obeys=True)
    job.watch((tmp_path / "model" / "state.pt").is_file)
    (tmp_path / "model").chmod(0o555)
    assert_refused(job.wait(), job.text(), str(tmp_path), "another --out")
    (tmp_path / "model").chmod(0o755)
    finishes(tmp_path)


def test_a_photo_that_nobody_may_read_is_named_and_made_up_for(machine, commands, photos, whole, tmp_path):
    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "photos" / "3.png").chmod(0)
    words = [tmp_path / "photos" if word == photos else word for word in commands["propose"](tmp_path)]
    status, said = machine.run(*words, obeys=True)
    assert status == 0
    assert "3.png: permission denied; make the file readable" in said
    expected = trees_of(whole[0] / "trees.db")
    assert trees_of(tmp_path / "trees.db") == {key: row for key, row in expected.items() if key != "3.png"}
    (tmp_path / "photos" / "3.png").chmod(0o644)
    assert machine.run(*words, obeys=True)[0] == 0
    assert trees_of(tmp_path / "trees.db") == expected
