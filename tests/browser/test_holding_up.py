"""A killed server, a full disk: the page says so, keeps what waits, and goes on."""


def test_killed_and_started_again(own_server, tab, expect):
    server = own_server(2)
    page = tab(forgive=True).open(server.address)
    page.take(44, 56)
    server.kill()
    expect(page.page.locator("#banner")).to_contain_text("does not answer")
    page.press("Enter", wait=False)
    page.page.mouse.click(*page.screen(112, 56))  # made while nobody listens
    expect(page.page.locator(".saved")).to_contain_text("Not saved: 1 waiting")
    server.start()
    page.until("!clickgrain.store.state.image.queue.line.length", seconds=40)
    expect(page.page.locator("#banner")).to_be_hidden()
    expect(page.page.locator(".saved")).to_contain_text("All saved")
    assert len(page.objects()) == 2

    kept = page.objects()
    server.kill()
    server.start()
    page.open(server.address)
    assert page.objects() == kept
    assert page.owner(44, 56) == kept[0]["id"]


def test_a_full_disk_is_shown_until_there_is_room(shared, tab, expect):
    page = tab(forgive=True).open(shared.address, "photo08")
    full = {"error": {"code": "disk_full", "message": "the disk is full; make room"}}
    page.page.route("**/actions", lambda route: route.fulfill(status=507, json=full))
    page.move(44, 56)
    page.page.mouse.click(*page.screen(44, 56))
    expect(page.page.get_by_role("alert")).to_contain_text("the disk is full; make room")
    expect(page.page.get_by_role("alert")).to_contain_text("1 action waits")
    assert page.objects() == []
    page.page.unroute("**/actions")
    page.until("clickgrain.store.state.image.document.objects.length === 1")
    expect(page.page.get_by_role("alert")).to_be_hidden()


def test_a_project_file_that_went_away_is_waited_for(own_server, tab, expect):
    server = own_server(2)
    page = tab(forgive=True).open(server.address)
    file = server.folder / "clickgrain.db"
    file.rename(server.folder / "elsewhere.db")
    page.move(44, 56)
    page.page.mouse.click(*page.screen(44, 56))
    expect(page.page.get_by_role("alert")).to_contain_text("moved or deleted")
    assert page.objects() == []
    (server.folder / "elsewhere.db").rename(file)
    page.until("clickgrain.store.state.image.document.objects.length === 1")
