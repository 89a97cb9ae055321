"""The server killed during an import, while an object is carried on, and while a model learns."""

import json
import time
from contextlib import contextmanager, suppress
from threading import Thread

import cv2
import httpx2
import numpy as np
import pytest

from tests.faults.test_kills import SIGNALS, address_of
from tests.unit.test_tracking import frames

COUNT = 12  # images
HEADERS = {"X-Clickgrain": "1"}


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Frames in which a square moves; nothing may change them."""
    folder = tmp_path_factory.mktemp("film")
    for number, (image, _) in enumerate(frames(COUNT)):
        assert cv2.imwrite(str(folder / f"{number:05}.png"), image[..., ::-1])
    return folder


@pytest.fixture
def served(machine, film):
    """Serve a project on the frames: the job, and a client of it."""

    @contextmanager
    def serve(folder):
        project = folder / "project.db"
        words = ("--project", project, "--model", "tree", "--no-browser", "--port", 0)
        job = machine.start("annotate", film, *words)
        with httpx2.Client(base_url=address_of(job), headers=HEADERS, timeout=600) as client:
            yield job, client
        if job in machine.running:
            job.kill()
        assert "Traceback" not in job.text(), job.text()

    return serve


def objects(client, image):
    """(mask, label, source) of an image's objects."""
    document = client.get(f"/api/images/{image}").json()["document"]
    return [(one["mask"], one["label"], one["source"]) for one in document["objects"]]


def log(client, image):
    """What every action of an image's log asked for."""
    return [(one["seq"], one["kind"]) for one in client.get(f"/api/images/{image}/log").json()["actions"]]


def act(client, image, **action):
    seq = client.get(f"/api/images/{image}").json()["document"]["seq"]
    while True:
        answer = client.post(f"/api/images/{image}/actions", json={"seq": seq, "action": action})
        if answer.status_code != 503:  # a busy machine encodes the image for a long time: try again in a moment
            break
    assert answer.status_code == 200, answer.text


def draw_square(client):
    """The square of the first frame, by hand."""
    rows = [{"type": "brush", "points": [[21, y], [54, y]], "radius": 1} for y in range(43, 77)]
    act(client, 1, kind="object.add_steps", steps=rows)


class Watch(Thread):
    """Work of the server's in a thread, until the server is gone; `seen` is what it showed meanwhile, by image."""

    def __init__(self, client, work):
        super().__init__()
        self.client, self.work, self.seen, self.problem = client, work, {}, None

    def run(self):
        try:
            self.work(self)
        except (httpx2.NetworkError, httpx2.RemoteProtocolError):
            pass  # it was killed
        except Exception as error:  # told in the test's own thread
            self.problem = error

    def look(self, image):
        self.seen[image] = log(self.client, image)


def killed_again_and_again(served, folder, work, turns, seconds, rng):
    """Begin the work, kill the server in the middle of it, look whether all that it showed is there, and again."""
    seen = {}
    for turn in range(turns + 1):
        with served(folder) as (job, client):
            for image, actions in seen.items():
                assert log(client, image)[: len(actions)] == actions
            watch = Watch(client, work)
            if turn == turns:
                watch.run()
            else:
                watch.start()
                watch.join(rng.uniform(0, seconds))
                job.kill(rng.choice(SIGNALS))
                watch.join()
            assert watch.problem is None, watch.problem
            seen |= watch.seen
    return sum(map(len, seen.values()))


def carry(watch):
    """Carry object 1 on through all images, which the job says one by one."""
    client = watch.client
    answer = client.post("/api/carry", json={"image": 1, "object": 1})
    if answer.status_code == 503:
        return
    assert answer.status_code == 200, answer.text
    job = answer.json()["job"]
    while job["state"] == "running":
        job = client.get(f"/api/jobs/{job['id']}").json()
        if (image := (job["result"] or {}).get("image", 1)) > 1:
            watch.look(image)
            assert watch.seen[image]  # what it says to be carried is on disk


@pytest.mark.timeout(3600)
def test_carrying_on_again_ends_as_if_the_server_had_not_been_killed(served, tmp_path, rng, everything, count):
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
        with served(tmp_path / name) as (_, client):
            draw_square(client)
    with served(tmp_path / "whole") as (_, client):
        begun = time.monotonic()
        carry(Watch(client, carry))
        seconds = time.monotonic() - begun
        expected = [objects(client, image) for image in range(1, COUNT + 1)]
    assert all(len(found) == 1 for found in expected)
    turns = 12 if everything else 1
    actions = killed_again_and_again(served, tmp_path / "broken", carry, turns, seconds, rng)
    with served(tmp_path / "broken") as (_, client):
        assert [objects(client, image) for image in range(1, COUNT + 1)] == expected
    count(f"{turns} kills, {actions} actions seen; lost: 0; the same masks as undisturbed")


def annotations():
    """COCO: sixty boxes an image, with two labels."""
    rng, found = np.random.default_rng(0), []
    for image in range(COUNT):
        for _ in range(60):
            x, y = int(rng.integers(0, 150)), int(rng.integers(0, 110))
            box = [x, y, x + 9, y, x + 9, y + 9, x, y + 9]
            about = {"id": len(found) + 1, "image_id": image, "category_id": 1 + len(found) % 2, "iscrowd": 0}
            found.append({**about, "segmentation": [box]})
    images = [{"id": i, "file_name": f"{i:05}.png", "height": 120, "width": 160} for i in range(COUNT)]
    categories = [{"id": 1, "name": "roof"}, {"id": 2, "name": "tree"}]
    return json.dumps({"images": images, "annotations": found, "categories": categories}).encode()


def take_in(watch):
    """Import, and look at the images meanwhile; what an import says of its own is complete or not at all."""
    content, client = annotations(), watch.client

    def post():
        with suppress(httpx2.NetworkError, httpx2.RemoteProtocolError):
            answer = client.post("/api/import?name=mine.json", content=content)
            assert answer.status_code in (200, 503), answer.text

    importing = Watch(client, lambda _: post())
    importing.start()
    while importing.is_alive():
        for image in range(1, COUNT + 1):
            watch.look(image)
    importing.join()
    assert importing.problem is None, importing.problem


@pytest.mark.timeout(3600)
def test_importing_again_brings_in_what_is_missing_and_nothing_twice(served, tmp_path, rng, everything, count):
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    with served(tmp_path / "broken") as (_, client):
        draw_square(client)
        own = objects(client, 1)
    with served(tmp_path / "whole") as (_, client):
        begun = time.monotonic()
        take_in(Watch(client, take_in))
        seconds = time.monotonic() - begun
        expected = [objects(client, image) for image in range(1, COUNT + 1)]
        labels = client.get("/api/state").json()["document"]["labels"]
    assert {len(found) for found in expected} == {60}
    turns = 12 if everything else 1
    actions = killed_again_and_again(served, tmp_path / "broken", take_in, turns, seconds, rng)
    with served(tmp_path / "broken") as (_, client):
        found = [objects(client, image) for image in range(1, COUNT + 1)]
        assert client.get("/api/state").json()["document"]["labels"] == labels
    assert found == [own + expected[0], *expected[1:]]
    count(f"{turns} kills, {actions} actions seen; lost: 0; every object once")


def reaches(client, id_, step):
    """The job that learns as soon as so many steps are done, or it is over."""
    while True:
        job = client.get(f"/api/jobs/{id_}").json()
        if job["state"] != "running" or (job["text"].startswith("training: step") and job["done"] >= step):
            return job
        time.sleep(0.02)


@pytest.mark.timeout(3600)
def test_learning_continues_where_it_was_when_the_server_was_killed(served, tmp_path, rng, everything, count):
    """The process that trains outlives the server for as long as it needs to save its steps."""
    if not everything:
        pytest.skip("in the long half")
    shown, turns = 0, 5
    with served(tmp_path) as (_, client):
        draw_square(client)
        own = objects(client, 1)
        assert client.get("/api/learn").json()["stopped"] is None
    for turn in range(turns + 1):
        with served(tmp_path) as (server, client):
            assert objects(client, 1) == own
            if turn > 0:
                stopped = client.get("/api/learn").json()["stopped"]
                assert (stopped["minutes"], stopped["objects"]) == (0.2, False)
                assert int(stopped["text"].split()[2]) >= shown, stopped
            answer = client.post("/api/learn", json={"minutes": 0.2})
            assert answer.status_code == 200, answer.text
            id_ = answer.json()["job"]["id"]
            job = reaches(client, id_, 0)
            assert (job["state"], job["error"]) == ("running", None)
            assert job["done"] >= shown  # none that was shown is made again
            if turn < turns:
                job = reaches(client, id_, shown + rng.randint(1, 3))  # of twenty or more
                assert (job["state"], job["error"]) == ("running", None)
                shown = job["done"]
                server.kill(rng.choice(SIGNALS))
            else:
                job = reaches(client, id_, 1_000_000)
                assert (job["state"], job["error"]) == ("done", None)
                assert client.get("/api/learn").json()["stopped"] is None
    assert [path.name for path in (tmp_path / ".project-models").iterdir()] == ["run-001"]
    count(f"{turns} kills while a model learned, one run, {shown} steps shown before the last; lost: 0")
