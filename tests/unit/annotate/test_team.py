"""Several people on one server: names, leases, presence."""

import pytest
from fastapi.testclient import TestClient

from clickgrain.annotate.app import make_app
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.team import GONE, IDLE, Team, read_users
from clickgrain.errors import ConfigError

ANNA, BEN = "annastoken1", "benstoken22"
CLICK = {"kind": "object.add_steps", "steps": [{"type": "brush", "points": [[20, 20]], "radius": 6}]}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def changed():
    return []


@pytest.fixture
def team(clock, changed):
    return Team(changed.append, clock)


@pytest.fixture
def people(project, cache):
    """A client of Anna's and one of Ben's, on one server."""
    app = make_app(project, cache, hosts=("testserver",), users={ANNA: "Anna", BEN: "Ben"})

    def headers(token):
        return {"X-Clickgrain": "1", "Authorization": f"Bearer {token}"}

    with TestClient(app, headers=headers(ANNA)) as anna:
        yield anna, TestClient(app, headers=headers(BEN), raise_server_exceptions=False)


def look(client, image, tab="t", idle=0):
    return client.get(f"/api/changes?since=0&image={image}&client={tab}&idle={idle}").json()


def act(client, image, seq=0, **action):
    return client.post(f"/api/images/{image}/actions", json={"seq": seq, "action": action or CLICK})


def entry(client, image):
    return next(one for one in client.get("/api/images").json()["images"] if one["id"] == image)


def test_the_first_to_open_an_image_has_it_until_they_go_on(team, changed):
    team.look("Anna", "a", 1)
    team.look("Ben", "b", 1)
    assert (team.holder(1), team.people(1)) == ("Anna", ["Anna", "Ben"])
    with pytest.raises(RequestError, match="Anna is working on this image"):
        team.claim("Ben", 1)
    team.look("Anna", "a", 2)
    assert (team.holder(1), team.people(1)) == (None, ["Ben"])
    team.claim("Ben", 1)
    assert team.holder(1) == "Ben"
    assert set(changed) == {1, 2}


def test_a_second_tab_keeps_the_image(team):
    team.look("Anna", "a", 1)
    team.look("Anna", "a2", 1)
    team.look("Anna", "a", 2)
    assert (team.holder(1), team.holder(2)) == ("Anna", "Anna")


def test_a_closed_tab_gives_its_image_back(team, clock, changed):
    team.look("Anna", "a", 1)
    clock.now = GONE + 1
    changed.clear()
    team.look("Ben", "b", 2)
    assert (team.holder(1), team.people(1)) == (None, [])
    assert 1 in changed


def test_an_idle_person_loses_the_image_and_is_still_seen(team, clock):
    for second in range(0, int(IDLE + 2 * GONE), 10):
        clock.now = float(second)
        team.look("Anna", "a", 1, idle=float(second))
    assert (team.holder(1), team.people(1)) == (None, ["Anna"])
    team.look("Ben", "b", 1)
    assert team.holder(1) == "Ben"


def test_taking_over_is_deliberate_and_works_both_ways(team):
    team.claim("Anna", 1)
    team.take_over("Ben", 1)
    with pytest.raises(RequestError) as caught:
        team.claim("Anna", 1)
    assert (caught.value.code, caught.value.status) == ("taken", 423)
    team.take_over("Anna", 1)
    team.claim("Anna", 1)


def test_without_users_nothing_is_leased(team):
    team.claim("", 1)
    team.take_over("", 1)
    assert team.holder(1) is None
    team.claim("", 1)


def test_names_are_in_the_log(people, project):
    anna, ben = people
    assert act(anna, 1).status_code == 200
    assert act(ben, 2).status_code == 200
    ben.post("/api/project/actions", json={"seq": 0, "action": {"kind": "label.add", "name": "cat"}})
    assert [one.user for image in (1, 2, 0) for one in project.database.actions(image)] == ["Anna", "Ben", "Ben"]
    assert anna.get("/api/images/2/log").json()["actions"][0]["user"] == "Ben"
    assert (anna.get("/api/state").json()["user"], ben.get("/api/state").json()["user"]) == ("Anna", "Ben")


def test_a_strange_token_is_refused(people):
    anna, _ = people
    for token in ("", "Anna", ANNA[:-1], ANNA + "x", "ä" * 12):
        refused = anna.get("/api/state", headers={"Authorization": f"Bearer {token}".encode()})
        assert refused.status_code == 401


def test_the_cookie_is_each_persons_own(project, cache, monkeypatch):
    monkeypatch.setattr(project, "close", lambda: None)
    app = make_app(project, cache, hosts=("testserver",), users={ANNA: "Anna", BEN: "Ben"}, port=80)
    with TestClient(app, follow_redirects=False) as client:
        answer = client.get(f"/?token={BEN}")
        assert (answer.status_code, client.get("/api/state").json()["user"]) == (303, "Ben")


def test_another_persons_image_is_not_changed_unawares(people, project):
    anna, ben = people
    look(anna, 1)
    seen = look(ben, 1)["images"][0]
    assert (seen["holder"], seen["people"]) == ("Anna", ["Anna", "Ben"])
    refused = act(ben, 1)
    assert (refused.status_code, refused.json()["error"]["code"]) == (423, "taken")
    assert project.logs.history(1).seq == 0
    assert ben.post("/api/images/1/take-over").json()["holder"] == "Ben"
    assert act(ben, 1).status_code == 200
    assert act(anna, 1, seq=1).status_code == 423
    assert entry(anna, 1)["holder"] == "Ben"


def test_others_hear_of_a_change_of_hands(people):
    anna, ben = people
    look(anna, 1)
    since = look(ben, 2)["change"]
    anna.get("/api/changes?since=0&image=3&client=t")
    news = ben.get(f"/api/changes?since={since}&image=2&client=t").json()
    assert {one["id"]: one["holder"] for one in news["images"]} == {1: None, 3: "Anna"}


def test_carrying_on_and_importing_stop_at_another_persons_image(people):
    anna, ben = people
    look(anna, 2)
    assert act(ben, 1).status_code == 200
    job = ben.post("/api/carry", json={"image": 1, "object": 1, "images": [2]}).json()["job"]
    while (job := ben.get(f"/api/jobs/{job['id']}").json())["state"] == "running":
        pass
    assert "Anna is working on this image" in job["result"]["why"]
    assert ben.get("/api/images/2").json()["document"]["objects"] == []


def test_users_get_tokens_that_stay(tmp_path):
    path = tmp_path / "users.txt"
    path.write_text("# our team\nAnna Maria\nBen=benstoken22\n\n")
    users = read_users(path)
    assert list(users.values()) == ["Anna Maria", "Ben"]
    assert users["benstoken22"] == "Ben"
    assert read_users(path) == users
    assert path.read_text().startswith("# our team\nAnna Maria=")
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "names no one"),
        ("Anna=short", "line 1 is not NAME"),
        ("Anna=with-sign1", "line 1 is not NAME"),
        ("=sometoken1", "line 1 is not NAME"),
        ("Anna=sometoken1\nAnna=othertoken1", "line 2"),
        ("Anna=sometoken1\nBen=sometoken1", "line 2"),
        (None, "cannot be read"),
    ],
)
def test_wrong_user_files_are_refused(tmp_path, content, words):
    path = tmp_path / "users.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=words):
        read_users(path)
