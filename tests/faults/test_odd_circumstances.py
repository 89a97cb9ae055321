"""A clock that runs backwards, bad images, damaged files, and two processes at the same work."""

import json
import re
import shutil

import httpx2
import pytest

from tests.faults.outcome import COMMANDS, assert_clean, assert_whole, begin, result_of, steps_of, trees_of
from tests.faults.test_kills import address_of


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_clock_that_runs_backwards_changes_no_tree_and_no_weight(
    machine, commands, whole, tmp_path, rng, everything, name
):
    """It also jumps back between a session that is killed and the one that continues it."""
    for turn in range(4 if everything else 1):
        folder = begin(name, tmp_path / f"{turn}", whole[0])
        job = machine.start(*commands[name](folder), clock=rng.choice([0.001, 60]))
        job.kill_after(rng.uniform(0, whole[1][name]), 9)
        status, said = machine.run(*commands[name](folder), clock=rng.choice([60, 90_000]))
        assert status == 0, said
        assert not re.search(r"-\d+(\.\d+)? ?(s|seconds|minutes)\b", said), said
        assert_whole(name, folder, whole[0])


@pytest.mark.timeout(600)
def test_a_clock_that_runs_backwards_makes_minutes_no_longer(machine, commands, photos, tmp_path, everything):
    if not everything:
        pytest.skip("in the long half")
    words = [*commands["learn"](tmp_path), "--minutes", 0.05]
    status, said = machine.run(*words, clock=60)
    assert status == 0, said
    lines = (tmp_path / "model" / "metrics.jsonl").read_text().splitlines()
    assert min(json.loads(line).get("seconds", 0) for line in lines) >= 0


def test_a_clock_that_runs_backwards_loses_no_action(machine, commands, tmp_path):
    for turn in range(2):
        job = machine.start(*commands["annotate"](tmp_path), clock=60)
        with httpx2.Client(base_url=address_of(job), headers={"X-Clickgrain": "1"}, timeout=60) as client:
            assert client.get("/api/images/1").json()["document"]["seq"] == 3 * turn
            for seq in range(3 * turn, 3 * turn + 3):
                step = {"type": "click", "x": 9 * seq, "y": 20, "label": 1}
                body = {"seq": seq, "action": {"kind": "object.add_steps", "steps": [step]}}
                assert client.post("/api/images/1/actions", json=body).json()["seq"] == seq + 1
            assert min(day["seconds"] for day in client.get("/api/statistics").json()["days"]) >= 0
        job.kill()
        assert "Traceback" not in job.text()


BAD = {"empty": b"", "words": b"no image at all", "half": None}


def spoil(path, kind):
    """Make a photo one that cannot be read."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if kind == "half" else BAD[kind])


@pytest.fixture
def own(photos, tmp_path):
    """A copy of the photos that may be changed, and a command line on it instead of on them."""
    shutil.copytree(photos, tmp_path / "photos")
    return tmp_path / "photos", lambda words: [tmp_path / "photos" if word == photos else word for word in words]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_image_at_any_place_of_a_batch(machine, commands, photos, own, whole, tmp_path, everything, kind):
    expected = trees_of(whole[0] / "trees.db")
    names = sorted(path.name for path in photos.iterdir())
    folder_of_photos, on_own = own
    for name in names if everything else names[len(kind) % 4 :: 9]:
        spoil(folder_of_photos / name, kind)
        folder = tmp_path / f"without-{name}"
        folder.mkdir()
        words = on_own(commands["propose"](folder))
        words[-1] = 4  # photos of a batch
        status, said = machine.run(*words)
        assert (status, "Traceback" in said) == (0, False), said
        assert str(folder_of_photos / name) in said
        assert trees_of(folder / "trees.db") == {key: row for key, row in expected.items() if key != name}
        shutil.copy2(photos / name, folder_of_photos)
        assert machine.run(*words)[0] == 0
        assert trees_of(folder / "trees.db") == expected


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("command", ["train", "learn"])
def test_training_without_a_bad_image_is_that_without_the_image(
    machine, commands, photos, own, whole, tmp_path, everything, command
):
    """At every place; `train` has a tree of the image, which was good once."""
    if not everything and command == "learn":
        pytest.skip("in the long half")
    folder_of_photos, on_own = own
    for place in sorted(photos.iterdir()) if everything else [photos / "4.png"]:
        (folder_of_photos / place.name).unlink()
        without = begin(command, tmp_path / f"without-{place.name}", whole[0])
        status, said = machine.run(*on_own(commands[command](without)))
        assert status == 0, said
        for kind in BAD if everything else ["half"]:
            shutil.copy2(place, folder_of_photos)
            spoil(folder_of_photos / place.name, kind)
            folder = begin(command, tmp_path / f"{kind}-{place.name}", whole[0])
            status, said = machine.run(*on_own(commands[command](folder)))
            assert (status, "Traceback" in said) == (0, False), said
            assert str(folder_of_photos / place.name) in said
            assert result_of(folder / "model") == result_of(without / "model")
        shutil.copy2(place, folder_of_photos)
        (folder / "model" / "state.pt").unlink()  # the run is on other photos now
        status, said = machine.run(*on_own(commands[command](folder)))
        assert status == 0, said
        assert_whole(command, folder, whole[0])


@pytest.fixture(scope="module")
def stopped(machine, commands, tmp_path_factory):
    """A run that was killed after a few checkpoints."""
    folder = tmp_path_factory.mktemp("stopped")
    job = machine.start(*commands["learn"](folder))
    job.watch(lambda: steps_of(folder / "model") >= 5)
    assert job.kill() == -9
    return folder


def truncated(path, rng):
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


@pytest.mark.timeout(3600)
def test_a_truncated_checkpoint_falls_back_and_says_so(
    machine, commands, stopped, whole, tmp_path, rng, everything, count
):
    turns = 12 if everything else 1
    for turn in range(turns):
        folder = tmp_path / f"{turn}"
        shutil.copytree(stopped, folder)
        state = folder / "model" / "state.pt"
        truncated(state, rng)
        status, said = machine.run(*commands["learn"](folder))
        assert status == 0, said
        assert f"{state} is damaged; the run continues from the state before it, after step " in said
        assert result_of(folder / "model") == result_of(whole[0] / "model")
        assert_clean(folder)
    count(f"{turns} truncated checkpoints, each run went on from the one before")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["run.json", "metrics.jsonl", "proposals.db", "objects.safetensors"])
def test_another_truncated_file_is_made_again_or_named(
    machine, commands, stopped, whole, tmp_path, rng, everything, name
):
    if not everything:
        pytest.skip("in the long half")
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    truncated(tmp_path / "model" / name, rng)
    status, said = machine.run(*commands["learn"](tmp_path))
    assert "Traceback" not in said
    if name == "run.json":
        assert status == 1
        assert f"{tmp_path / 'model' / name} cannot be read" in said
        return
    assert status == 0, said
    assert trees_of(tmp_path / "model" / "proposals.db") == trees_of(whole[0] / "trees.db")
    result, expected = result_of(tmp_path / "model"), result_of(whole[0] / "model")
    if name == "metrics.jsonl":  # a record that nothing is computed from
        del result["metrics"], expected["metrics"]
    assert result == expected


@pytest.mark.timeout(3600)
def test_two_processes_fill_one_store(machine, commands, whole, tmp_path, rng, everything):
    """One of them is killed at times."""
    for turn in range(8 if everything else 1):
        folder = tmp_path / f"{turn}"
        folder.mkdir()
        one, other = (machine.start(*commands["propose"](folder)) for _ in range(2))
        if turn % 2:
            one.kill_after(rng.uniform(0, whole[1]["propose"]), 9)
        else:
            assert one.wait() == 0, one.text()
        assert other.wait() == 0, other.text()
        assert trees_of(folder / "trees.db") == trees_of(whole[0] / "trees.db")


def test_two_servers_share_one_project(machine, commands, tmp_path):
    jobs = [machine.start(*commands["annotate"](tmp_path)) for _ in range(2)]
    clients = [httpx2.Client(base_url=address_of(job), headers={"X-Clickgrain": "1"}, timeout=60) for job in jobs]
    confirmed, seqs = {}, [0, 0]
    for turn in range(12):
        which = turn % 2
        step = {"type": "brush", "points": [[5 * turn, 20]], "radius": 2}
        body = {"seq": seqs[which], "client": f"{turn}", "action": {"kind": "object.add_steps", "steps": [step]}}
        answer = clients[which].post("/api/images/1/actions", json=body)
        seqs[which] = answer.json()["seq"]
        if answer.status_code == 409:  # the other was first: look, try again
            answer = clients[which].post("/api/images/1/actions", json={**body, "seq": seqs[which]})
            seqs[which] = answer.json()["seq"]
        assert answer.status_code == 200, answer.text
        confirmed[seqs[which]] = f"{turn}"
    for client in clients:
        log = client.get("/api/images/1/log").json()["actions"]
        assert {one["seq"]: one["client"] for one in log} == confirmed
        client.close()
    for job in jobs:
        job.kill()
