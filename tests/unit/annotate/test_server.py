"""A real server process: ten clients at once, kill -9 in the middle of their work, and going on."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import httpx2
import pytest

from clickgrain.annotate.config import AnnotateArgs
from clickgrain.annotate.masks import decode
from clickgrain.annotate.server import bind
from clickgrain.errors import ConfigError

CLIENTS = 10
OBJECTS = 4  # of each person of a team


@pytest.fixture
def start(photos, tmp_path):
    """Start `clickgrain annotate` and return (process, address)."""
    running = []
    environment = {**os.environ, "CLICKGRAIN_CACHE": str(tmp_path / "cache")}

    def run(*more):
        command = [
            sys.executable,
            "-m",
            "clickgrain",
            "annotate",
            str(photos),
            "--no-browser",
            "--port",
            "0",
            *more,
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        running.append(process)
        line = process.stdout.readline().decode()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/(\?token=\w+)?( .+)?\n", line), line
        return process, line.strip()

    yield run
    for process in running:
        process.kill()
        process.communicate()


class Tab(threading.Thread):
    """A client that adds objects to image 1 until the server is gone, as a page does: 409, look, try again."""

    def __init__(self, address, number):
        super().__init__()
        self.number, self.confirmed, self.problem = number, [], None
        self.client = httpx2.Client(base_url=address, headers={"X-Clickgrain": "1"}, timeout=60)

    def run(self):
        try:
            self.work()
        except Exception as error:  # told in the test's own thread
            self.problem = error

    def work(self):
        seq = 0
        with self.client:
            for turn in range(10_000):
                stroke = {"type": "brush", "points": [[turn % 60, 4 * self.number]], "radius": 2}
                action = {"kind": "object.add_steps", "steps": [stroke]}
                body = {"seq": seq, "client": f"tab-{self.number}:{turn}", "action": action}
                try:
                    answer = self.client.post("/api/images/1/actions", json=body)
                except (
                    httpx2.NetworkError,
                    httpx2.RemoteProtocolError,
                ):  # the server is gone; silence is a failure
                    return
                if answer.status_code == 503:  # it is being stopped
                    return
                seq = answer.json()["seq"]
                if answer.status_code == 200:
                    (made,) = answer.json()["masks"]
                    self.confirmed.append((seq, body["client"], made))
                else:
                    assert answer.status_code == 409


def test_ten_tabs_and_a_kill_lose_no_finished_action(start, photos):
    process, address = start("--model", "tree")
    with httpx2.Client(base_url=address, headers={"X-Clickgrain": "1"}, timeout=240) as client:
        stroke = {"type": "brush", "points": [[30, 45]], "radius": 2}  # compiles, on a bare machine, for a minute
        action = {"kind": "object.add_steps", "steps": [stroke]}
        assert client.post("/api/images/1/actions", json={"seq": 0, "action": action}).is_success
    tabs = [Tab(address, number) for number in range(CLIENTS)]
    for tab in tabs:
        tab.start()
    while sum(len(tab.confirmed) for tab in tabs) < 60:
        assert process.poll() is None
        assert all(tab.is_alive() for tab in tabs), [tab.problem for tab in tabs]
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    for tab in tabs:
        tab.join()
    assert not any(tab.problem for tab in tabs), [tab.problem for tab in tabs]
    confirmed = {seq: (client, made) for tab in tabs for seq, client, made in tab.confirmed}
    assert len(confirmed) == sum(len(tab.confirmed) for tab in tabs)  # no number was given twice
    _, address = start("--model", "tree")
    with httpx2.Client(base_url=address, headers={"X-Clickgrain": "1"}, timeout=30) as client:
        log = client.get("/api/images/1/log").json()["actions"]
        assert [action["seq"] for action in log] == list(range(1, len(log) + 1))
        assert confirmed.keys() <= {action["seq"] for action in log}
        for action in log:
            if action["seq"] in confirmed:
                assert action["client"] == confirmed[action["seq"]][0]
        document = client.get("/api/images/1").json()["document"]
        masks = {item["mask"] for item in document["objects"]}
        assert {made for _, made in confirmed.values()} <= masks
        for hash_ in masks:
            assert decode(client.get(f"/api/masks/{hash_}").content).any()
        assert client.post(
            "/api/images/1/actions", json={"seq": document["seq"], "action": {"kind": "undo"}}
        ).is_success


class Member(threading.Thread):
    """One of a team on three images: takes an image over where another has it, and writes its objects."""

    def __init__(self, address, number, token):
        super().__init__()
        self.number, self.image, self.confirmed, self.problem = number, 1 + number % 3, [], None
        headers = {"X-Clickgrain": "1", "Authorization": f"Bearer {token}"}
        self.client = httpx2.Client(base_url=address, headers=headers, timeout=240)

    def run(self):
        try:
            with self.client:
                self.work()
        except Exception as error:  # told in the test's own thread
            self.problem = error

    def work(self):
        seq, path = 0, f"/api/images/{self.image}"
        while len(self.confirmed) < OBJECTS:
            stroke = {"type": "brush", "points": [[len(self.confirmed), 2 * self.number]], "radius": 2}
            action = {"kind": "object.add_steps", "steps": [stroke]}
            answer = self.client.post(f"{path}/actions", json={"seq": seq, "action": action})
            if answer.status_code == 423:
                self.client.post(f"{path}/take-over").raise_for_status()
                continue
            assert answer.status_code in (200, 409)
            seq = answer.json()["seq"]
            if answer.status_code == 200:
                self.confirmed.append((self.image, seq))
            changes = {"since": 0, "image": self.image, "client": "t"}
            self.client.get("/api/changes", params=changes).raise_for_status()


def test_twenty_people_write_under_their_own_names(start, tmp_path):
    names = [f"person {number}" for number in range(20)]
    users = tmp_path / "users.txt"
    users.write_text("".join(f"{name}=token{number:05d}\n" for number, name in enumerate(names)))
    process, address = start("--users", str(users), "--model", "tree")
    address = address.split("?")[0]
    members = [Member(address, number, f"token{number:05d}") for number in range(20)]
    for member in members:
        member.start()
    for member in members:
        member.join()
    assert not any(member.problem for member in members), [member.problem for member in members]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, address = start("--token", "abcdefgh", "--model", "tree")  # the same folder, later, for one person
    headers = {"X-Clickgrain": "1", "Authorization": "Bearer abcdefgh"}
    with httpx2.Client(base_url=address.split("?")[0], headers=headers, timeout=60) as client:
        logs = {image: client.get(f"/api/images/{image}/log").json()["actions"] for image in (1, 2, 3)}
        assert sum(map(len, logs.values())) == 20 * OBJECTS
        written = {(image, one["seq"]): one["user"] for image, log in logs.items() for one in log}
        assert written == {place: names[member.number] for member in members for place in member.confirmed}
        people = client.get("/api/statistics").json()["people"]
        assert {row["name"]: row["objects"] for row in people} == dict.fromkeys(names, OBJECTS)


def test_ctrl_c_ends_it_in_order(start):
    process, address = start("--token", "abcdefgh")
    assert address.endswith("?token=abcdefgh")
    with httpx2.Client(timeout=30) as client:
        assert client.get(address.split("?")[0]).status_code == 401
        assert client.get(address, follow_redirects=True).status_code == 200
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert b"Traceback" not in errors
    assert process.returncode in (0, 130)


def test_requests_that_take_too_long_for_ctrl_c_are_told_so():
    script = """
import time
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from clickgrain.annotate.metrics import Watch
from clickgrain.annotate.server import bind, run
app = FastAPI()
@app.get("/slow")
def slow():
    print("asked", flush=True)
    time.sleep(5)
@app.get("/begun")
def begun():
    def chunks():
        yield b"x"
        time.sleep(5)
    return StreamingResponse(chunks())
sock = bind("127.0.0.1", 0)
print(sock.getsockname()[1], flush=True)
try:
    run(Watch(app), sock)
except KeyboardInterrupt:
    pass
"""
    command = [sys.executable, "-c", script]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    address = f"http://127.0.0.1:{int(process.stdout.readline())}"
    answers = []
    with httpx2.Client(timeout=60) as client, client.stream("GET", f"{address}/begun") as begun:
        assert next(begun.iter_raw()) == b"x"
        asking = threading.Thread(target=lambda: answers.append(httpx2.get(f"{address}/slow", timeout=60)))
        asking.start()
        assert process.stdout.readline() == b"asked\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        asking.join()
    assert b"Traceback" not in errors, errors.decode()
    assert (answers[0].status_code, answers[0].json()["error"]["code"]) == (503, "busy")


def test_a_taken_port_is_named():
    taken = bind("127.0.0.1", 0)
    port = taken.getsockname()[1]
    with pytest.raises(ConfigError, match=f"port {port} is in use"):
        bind("127.0.0.1", port)
    taken.close()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"port": 70_000}, "--port"),
        ({"host": "example.com"}, "--host"),
        ({"token": "short"}, "--token"),
        ({"token": "with spaces in it"}, "--token"),
        ({"memory": 1}, "--memory"),
    ],
)
def test_settings_that_cannot_work_name_the_flag(tmp_path, settings, words):
    with pytest.raises(ConfigError, match=words):
        AnnotateArgs(photos=tmp_path, **settings)


def test_any_other_address_is_not_local(tmp_path):
    assert not AnnotateArgs(photos=tmp_path, host="0.0.0.0").is_local
    assert AnnotateArgs(photos=tmp_path).is_local
