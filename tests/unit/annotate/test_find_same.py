import time

import cv2
import numpy as np
import pytest

from clickgrain.annotate.find_same import Finder, describe, find_nodes
from clickgrain.annotate.http_errors import RequestError


@pytest.fixture
def search(client):
    """Look for object 1 of image 1; the job when it has ended."""

    def run(**more):
        job = client.post("/api/same", json={"image": 1, "object": 1, **more}).json()["job"]
        while job["state"] == "running":
            time.sleep(0.01)
            job = client.get(f"/api/jobs/{job['id']}").json()
        assert job["state"] == "done", job
        return job

    return run


def test_what_is_alike_is_found_where_it_lies(act, click, search, client, project, red, iou):
    act(kind="object.add_steps", steps=[click(20, 20)], label=4)
    job = search()
    assert (job["done"], job["total"], job["result"]["label"]) == (2, 2, 4)
    candidates = job["result"]["candidates"]
    best = {image: max(c["score"] for c in candidates if c["image"] == image) for image in (2, 3)}
    assert min(best.values()) > 0.5
    taken = [{"image": c["image"], "node": c["node"]} for c in candidates if c["score"] == best[c["image"]]]
    answer = client.post("/api/same/accept", json={"job": job["id"], "items": taken}).json()
    assert sorted(one["image"] for one in answer["accepted"]) == [2, 3]
    for image, shift in ((2, 3), (3, 6)):
        (item,) = project.logs.history(image).document.objects
        assert (item.label, item.source) == (4, "same")
        assert iou(project.logs.mask(item.mask), np.roll(red, shift, axis=1)) > 0.8
    again = client.post("/api/same/accept", json={"job": job["id"], "items": taken}).json()
    assert len(again["skipped"]) == 2
    assert again["accepted"] == []


def test_all_above_a_threshold(act, click, search, client):
    act(kind="object.add_steps", steps=[click(20, 20)])
    job = search()
    wanted = [c for c in job["result"]["candidates"] if c["score"] >= 0.6]
    answer = client.post("/api/same/accept", json={"job": job["id"], "above": 0.6, "label": 9}).json()
    assert sum(one["objects"] for one in answer["accepted"]) == len(wanted)
    assert client.get("/api/images/2").json()["document"]["can_undo"]


def test_a_few_pixels_of_something_else_do_not_matter(act, click, search):
    act(kind="object.add_steps", steps=[click(20, 20)])
    clean = search()["result"]["candidates"]
    stray = [
        {"type": "brush", "points": [[x, y]], "radius": 1.5, "label": 1} for x, y in ((60, 4), (3, 44), (61, 45))
    ]
    act(kind="object.add_steps", object=1, steps=stray)
    found = search()["result"]["candidates"]
    for image in (2, 3):
        first, second = (max(c["score"] for c in some if c["image"] == image) for some in (clean, found))
        assert second > 0.9 * first


def test_what_objects_hold_is_no_candidate(act, click, search):
    act(kind="object.add_steps", steps=[click(20, 20)])
    act(2, kind="object.add_steps", steps=[{"type": "region", "x": 5, "y": 5, "level": 1.0}])
    assert 2 not in {c["image"] for c in search()["result"]["candidates"]}


def test_candidates_do_not_lie_in_each_other(act, click, search, project):
    act(kind="object.add_steps", steps=[click(20, 20)])
    candidates = search(images=[3])["result"]["candidates"]
    tree = project.scene(3).tree
    leaves = [leaf for c in candidates for leaf in tree.leaves(c["node"]).tolist()]
    assert len(leaves) == len(set(leaves))
    assert candidates


def test_eleven_likes_of_one_coin_are_found_in_the_open_image(photos, project, client, iou):
    y, x = np.mgrid[:96, :128]
    rng = np.random.default_rng(0)
    image, coins = 90 + rng.normal(0, 4, (96, 128, 3)), []
    for row, column in np.ndindex(3, 4):
        coins.append(np.hypot(x - 18 - 31 * column, y - 17 - 31 * row) < rng.uniform(9, 12))
        image[coins[-1]] = 190 + rng.normal(0, 12, (coins[-1].sum(), 3))
    assert cv2.imwrite(str(photos / "coins.png"), np.clip(image, 0, 255).astype(np.uint8))
    client.post("/api/rescan", json={})
    number = project.gallery.find("coins.png")
    act = {"kind": "object.add_steps", "steps": [{"type": "region", "x": 49, "y": 48, "level": 0.6}]}
    assert client.post(f"/api/images/{number}/actions", json={"seq": 0, "action": act}).status_code == 200
    job = client.post("/api/same", json={"image": number, "object": 1, "images": [number]}).json()["job"]
    while job["state"] == "running":
        job = client.get(f"/api/jobs/{job['id']}").json()
    best = [(one["image"], one["node"]) for one in job["result"]["candidates"]][:11]
    items = [{"image": image, "node": node} for image, node in best]
    (taken,) = client.post("/api/same/accept", json={"job": job["id"], "items": items}).json()["accepted"]
    assert (taken["objects"], taken["seq"]) == (11, 2)  # one action, which one undo takes back
    masks = [project.logs.mask(item.mask) for item in project.logs.history(number).document.objects]
    assert np.sum(masks, axis=0).max() == 1
    assert min(max(iou(mask, coin) for mask in masks) for coin in coins) > 0.8


def test_an_object_finds_itself_best(scene, red):
    coverage = cv2.resize(red.astype(np.float32), scene.tree.grid[::-1], interpolation=cv2.INTER_AREA)
    wanted = describe(scene.features, coverage)
    best = find_nodes(scene.tree, scene.features, wanted, np.zeros(scene.tree.grid, bool))[0]
    inside = scene.tree.mask(best.node)
    assert (coverage[inside] > 0.5).mean() > 0.8
    assert best.score > 0.8


def test_the_cache_gives_what_was_made(project, cache):
    finder = Finder(project, cache)
    (tree, features), (kept_tree, kept_features) = finder.leaves_of(1), finder.leaves_of(1)
    assert (tree.children == kept_tree.children).all()
    assert np.abs(features - kept_features).max() < 0.01
    assert (tree.children == project.scene(1).tree.children).all()


def test_there_must_be_an_object(project, cache, client):
    with pytest.raises(RequestError, match="no object"):
        Finder(project, cache).work(1, 7, None, 10)
    assert client.post("/api/same", json={"image": 1, "object": 7}).status_code == 404
    with pytest.raises(RequestError, match="nothing to look for"):
        describe(np.zeros((2, 2, 3), np.float32), np.zeros((2, 2), np.float32))


def test_a_damaged_photo_stops_no_search(act, click, search, photos, project):
    act(kind="object.add_steps", steps=[click(20, 20)])
    (photos / "a2.png").write_bytes(b"gone bad")
    assert {c["image"] for c in search()["result"]["candidates"]} == {3}
