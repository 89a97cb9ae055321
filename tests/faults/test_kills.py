"""kill -9 and SIGTERM at random moments: what was acknowledged stays, the end is that of an undisturbed run."""

import shutil
import signal
import threading
import time

import httpx2
import pytest

from tests.faults.outcome import COMMANDS, assert_whole, begin, steps_of, store_of, trees_of

KILLS = {"propose": (3, 50), "train": (2, 50), "learn": (2, 50), "annotate": (3, 49)}
"""In the short half and in all."""
SIGNALS = signal.SIGKILL, signal.SIGTERM


@pytest.fixture
def kills(everything):
    return {name: numbers[everything] for name, numbers in KILLS.items()}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", COMMANDS)
def test_the_end_is_that_of_an_undisturbed_run(machine, commands, whole, tmp_path, rng, kills, count, name):
    expected_trees, used = trees_of(whole[0] / "trees.db"), whole[1][name]
    done = rounds = 0
    while done < kills[name]:
        rounds += 1
        folder = begin(name, tmp_path / f"round-{rounds}", whole[0])
        store = store_of(name, folder)
        trees, steps = set[str](), 0
        while True:
            job = machine.start(*commands[name](folder))
            number = rng.choice(SIGNALS)
            status = job.wait() if done == kills[name] else job.kill_after(rng.uniform(0, used), number)
            assert "Traceback" not in job.text(), job.text()
            now = trees_of(store)
            assert trees <= now.keys()  # what was acknowledged is there
            assert all(expected_trees[key] == tree for key, tree in now.items())
            assert steps <= steps_of(folder / "model")
            trees, steps = set(now), steps_of(folder / "model")
            if status == 0:
                break
            assert status in (-number, 130), job.text()
            done += 1
        assert_whole(name, folder, whole[0])
        shutil.rmtree(folder)
    count(f"{done} kills in {rounds} runs, each ended as the undisturbed one; lost: 0")


class Tab(threading.Thread):
    """Clicks and strokes on one image until the server is gone; what it answered with 200 is `confirmed`."""

    def __init__(self, address, image, rng):
        super().__init__()
        self.image, self.rng, self.confirmed, self.made, self.problem = image, rng, {}, set(), None
        self.client = httpx2.Client(base_url=address, headers={"X-Clickgrain": "1"}, timeout=60)

    def run(self):
        try:
            with self.client:
                self.work()
        except (httpx2.NetworkError, httpx2.RemoteProtocolError):
            pass  # the server is gone; a timeout is a failure
        except Exception as error:  # told in the test's own thread
            self.problem = error

    def work(self):
        path = f"/api/images/{self.image}"
        seq = self.client.get(path).json()["document"]["seq"]
        while True:
            x, y = self.rng.randrange(64), self.rng.randrange(48)
            step = {"type": "click", "x": x, "y": y, "label": 1}
            if self.rng.random() < 0.5:
                step = {"type": "brush", "points": [[x, y]], "radius": 2}
            action = {"kind": "object.add_steps", "steps": [step]}
            if seq and self.rng.random() < 0.2:
                action = {"kind": "undo"}
            answer = self.client.post(f"{path}/actions", json={"seq": seq, "action": action})
            if answer.status_code == 503:  # it is being stopped, or a busy machine still encodes the image
                continue
            seq = answer.json().get("seq", seq)
            if answer.status_code == 200:
                self.confirmed[seq] = action["kind"]
                self.made |= answer.json().get("masks", {}).keys()
            else:
                assert answer.status_code == 409 or action["kind"] == "undo", answer.text  # nothing is left to undo


def address_of(job):
    """Where a server answers, as soon as it says so."""
    job.watch(lambda: "/\n" in job.text())
    assert not job.is_over(), job.text()
    return job.text().split()[0]


@pytest.mark.timeout(3600)
def test_what_the_server_confirmed_is_there_after_a_restart(machine, commands, tmp_path, rng, kills, count):
    confirmed = {image: dict[int, str]() for image in (1, 2, 3)}
    made = set[str]()  # masks of the last session
    for _ in range(kills["annotate"] + 1):
        job = machine.start(*commands["annotate"](tmp_path))
        address = address_of(job)
        with httpx2.Client(base_url=address, headers={"X-Clickgrain": "1"}, timeout=60) as client:
            for image, actions in confirmed.items():
                log = {one["seq"]: one for one in client.get(f"/api/images/{image}/log").json()["actions"]}
                assert list(log) == list(range(1, len(log) + 1))
                assert {seq: log[seq]["kind"] for seq in actions} == actions
            assert all(client.get(f"/api/masks/{mask}").status_code == 200 for mask in made)
        tabs = [Tab(address, image, rng) for image in confirmed]
        for tab in tabs:
            tab.start()
        moment = time.monotonic() + rng.uniform(0, 1)
        while time.monotonic() < moment or not any(tab.confirmed for tab in tabs):
            assert all(tab.is_alive() for tab in tabs), [tab.problem for tab in tabs]
            time.sleep(0.001)
        number = rng.choice(SIGNALS)
        status = job.kill(number)
        assert status in (-number, 0, 130), job.text()
        assert "Traceback" not in job.text(), job.text()
        for tab in tabs:
            tab.join()
            assert tab.problem is None, tab.problem
            confirmed[tab.image] |= tab.confirmed
        made = set[str]().union(*(tab.made for tab in tabs))
    actions = sum(map(len, confirmed.values()))
    count(f"{kills['annotate'] + 1} kills, {actions} actions confirmed; lost: 0")
