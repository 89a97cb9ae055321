"""Metrics for Prometheus, read by Prometheus's own client library; requests as events."""

import asyncio
import json

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from clickgrain import events
from clickgrain.annotate.app import make_app
from clickgrain.annotate.metrics import BUCKETS, Watch

BRUSH = {"type": "brush", "points": [[20, 20]], "radius": 6}


def read(client):
    """{(sample, labels): value}, and the families by name."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {one.name: one for one in text_string_to_metric_families(answer.text)}
    found = {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in families.values()
        for one in family.samples
    }
    return found, families


def labels(**values):
    return tuple(sorted(values.items()))


def test_requests_are_counted_by_route_and_status(client):
    for image in (1, 2, 99):
        client.get(f"/api/images/{image}/log")
    client.get("/no/such/page")
    found, families = read(client)
    route = "/api/images/{image}/log"
    name = "clickgrain_requests_total"
    assert found[name, labels(method="GET", route=route, status="200")] == 2
    assert found[name, labels(method="GET", route=route, status="404")] == 1
    assert found[name, labels(method="GET", route="none", status="404")] == 1
    assert families["clickgrain_requests"].type == "counter"
    assert families["clickgrain_request_seconds"].type == "histogram"
    assert found["clickgrain_request_seconds_count", labels(route=route)] == 3
    ends = [found["clickgrain_request_seconds_bucket", labels(route=route, le=str(end))] for end in BUCKETS]
    assert ends == sorted(ends)
    assert found["clickgrain_request_seconds_bucket", labels(route=route, le="+Inf")] == 3


def test_made_up_methods_are_one_row(client):
    for number in range(3):
        client.request(f"X{number}", "/api/images")
    rows = {key for key in read(client)[0] if key[0] == "clickgrain_requests_total"}
    assert {dict(labels_)["method"] for _, labels_ in rows} == {"other"}


def test_what_the_project_holds_and_the_process_needs(client, act):
    act(kind="object.add_steps", steps=[BRUSH])
    act(2, kind="status", status="checked")
    found, _ = read(client)
    assert found["clickgrain_images", labels(status="doing")] == 1
    assert found["clickgrain_images", labels(status="checked")] == 1
    assert (found["clickgrain_objects", ()], found["clickgrain_clicks", ()]) == (1, 1)
    assert found["process_resident_memory_bytes", ()] > 10_000_000
    client.post("/api/import", content="{}")
    found, _ = read(client)
    assert found["clickgrain_jobs", labels(kind="import", state="failed")] == 1


@pytest.mark.parametrize("name", ['a "quoted" one', "back\\slash", "two\nlines"])
def test_any_label_can_be_read(client, project, monkeypatch, name):
    monkeypatch.setattr(project, "model", type(project.model)("x", name, "kind", "hash", "tree"))
    found, _ = read(client)
    (labels_of_info,) = (dict(about) for sample, about in found if sample == "clickgrain_info")
    assert labels_of_info["model"] == name


def test_metrics_ask_for_the_token(project, cache):
    app = make_app(project, cache, hosts=("testserver",), users={"annastoken1": "Anna"})
    with TestClient(app) as client:
        assert client.get("/metrics").status_code == 401
        client.headers["Authorization"] = "Bearer annastoken1"
        found, _ = read(client)
    about = labels(method="GET", route="none", status="401")
    assert found["clickgrain_requests_total", about] == 1


def test_requests_are_events(client, capsys):
    events.use(True)
    try:
        client.get("/api/images/2/log?since=1")
    finally:
        events.use(False)
    (line,) = capsys.readouterr().err.splitlines()
    event = json.loads(line)
    assert event["milliseconds"] > 0
    assert {key: event[key] for key in ("event", "user", "method", "route", "path", "status")} == {
        "event": "request",
        "user": "",
        "method": "GET",
        "route": "/api/images/{image}/log",
        "path": "/api/images/2/log",
        "status": 200,
    }


def test_a_request_that_fails_is_counted_too():
    async def broken(scope, receive, send):
        raise RuntimeError("broken")

    watch = Watch(broken)
    with pytest.raises(RuntimeError):
        asyncio.run(watch({"type": "http", "method": "GET", "path": "/"}, None, None))
    assert 'clickgrain_requests_total{method="GET",route="none",status="0"} 1' in watch.text()
