"""A photo is replaced, a thread begins again, a model learns: the page says so while the annotator works."""

import json

import cv2


def test_a_photo_that_is_replaced_is_shown_and_old_objects_are_marked(own_server, tab, expect):
    server = own_server(3)
    page = tab(forgive=True).open(server.address, "photo00")
    page.take(44, 56)
    old = page.page.evaluate("clickgrain.store.state.image.info.content")
    image = cv2.imread(str(server.folder / "photo00.png"))
    assert cv2.imwrite(str(server.folder / "photo00.png"), image[::-1])
    page.until(f"clickgrain.store.state.image.info.content !== '{old}' && clickgrain.store.state.image.tree")
    expect(page.page.locator("#hint")).to_contain_text("1 object was drawn on the old one")
    row = page.page.get_by_role("row", name="drawn on an older photo")
    expect(row).to_contain_text("old photo")
    page.press("Enter", wait=False)
    first, second = page.click(110, 60)
    assert (first["replaced"], second["replaced"]) == (True, False)


def test_a_click_on_the_old_photo_is_not_answered_on_the_new_one(own_server, tab, expect):
    server = own_server(2)
    page = tab(forgive=True).open(server.address, "photo00")
    page.page.route("**/api/changes?*", lambda route: route.abort())  # the page has not heard of it yet
    image = cv2.imread(str(server.folder / "photo00.png"))
    assert cv2.imwrite(str(server.folder / "photo00.png"), image[::-1])
    page.move(44, 56)
    page.page.mouse.click(*page.screen(44, 56))
    expect(page.page.locator("#hint")).to_contain_text("was replaced; look at it, then try again")
    assert page.objects() == []


def test_a_thread_that_began_again_is_told_until_it_is_read(shared, tab, expect):
    page = tab().open(shared.address, "photo20")

    def answer(route):
        news = route.fetch().json()
        route.fulfill(json={**news, "notice": "The thread that encodes images failed, once so far."})

    page.page.route("**/api/changes?*", answer)
    banner = page.page.locator("#banner")
    expect(banner).to_contain_text("once so far")
    page.page.get_by_role("button", name="Understood").click()
    expect(banner).to_be_hidden()
    page.page.unroute("**/api/changes?*")


def test_learning_tells_its_stage_and_stop_answers_at_once(shared, tab, expect):
    page = tab().open(shared.address, "photo21")
    job = {"id": "j7", "kind": "learn", "state": "running", "done": 3, "total": 9, "error": None, "result": None}
    said = {**job, "text": "training: step 3 of 9, 2.1 s a step, about 13 seconds left"}
    page.page.evaluate(f"clickgrain.live.takeJobs([{json.dumps(said)}])")
    page.page.get_by_role("button", name="Learn from this folder").click()
    running = page.page.locator(".learn .running")
    expect(running).to_contain_text("step 3 of 9, 2.1 s a step")
    stopping = {**job, "state": "stopping", "text": "stopping: what was done so far is being saved"}
    page.page.route("**/api/jobs/j7/cancel", lambda route: route.fulfill(json=stopping))
    page.page.get_by_role("button", name="Stop", exact=True).click()
    expect(running).to_contain_text("stopping: what was done so far")
    expect(page.page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
    page.page.evaluate(f"clickgrain.live.takeJobs([{json.dumps({**stopping, 'state': 'cancelled'})}])")
    expect(page.page.get_by_role("button", name="Learn again")).to_be_visible()


def test_a_click_among_many_objects_makes_few_new_rows(shared, tab):
    page = tab().open(shared.address, "photo17")
    page.page.evaluate("""(async () => {
        const { annotator } = clickgrain;
        for (let i = 0; i < 60; i++) {
            const points = [[5 + (i % 20) * 7, 5 + Math.floor(i / 20) * 20]];
            await annotator.addSteps([{ type: "brush", points, radius: 3, label: 1 }], true);
        }
    })()""")
    page.until("document.querySelectorAll('#objects .thing').length === 60")
    page.page.evaluate("""(() => {
        window.made = 0;
        const count = (records) => records.forEach((record) => (window.made += record.addedNodes.length));
        new MutationObserver(count).observe(document.querySelector("#objects .things"), { childList: true });
    })()""")
    before = page.seq()
    page.page.evaluate(
        "clickgrain.annotator.addSteps([{ type: 'brush', points: [[80, 80]], radius: 4, label: 1 }])"
    )
    assert len(page.written(before)) == 60
    names = page.page.evaluate("[...document.querySelectorAll('#objects .thing')].map((one) => one.dataset.object)")
    assert names == [str(number) for number in range(60, 0, -1)]
    assert 1 <= page.page.evaluate("made") <= 4
    page.page.evaluate("clickgrain.annotator.move(1, 30)")
    page.until("clickgrain.store.state.image.document.objects[30].id === 1")
    page.frame()
    names = page.page.evaluate("[...document.querySelectorAll('#objects .thing')].map((one) => one.dataset.object)")
    assert names == page.page.evaluate(
        "clickgrain.store.state.image.document.objects.map((o) => `${o.id}`).reverse()"
    )
