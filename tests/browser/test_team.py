"""Two people on one server: they see each other, do not change the same image unawares, and review."""

import pytest

TOKENS = {"Anna": "annastoken1", "Ben": "benstoken22"}


@pytest.fixture
def people(own_server, tab, tmp_path):
    """Tabs of Anna and Ben, both on the first photo, Anna first."""
    users = tmp_path / "users.txt"
    users.write_text("".join(f"{name}={token}\n" for name, token in TOKENS.items()))
    server = own_server(2, arguments=("--users", str(users)))
    found = []
    for token in TOKENS.values():
        one = tab(forgive=True)  # a refused action is an error line of the browser
        one.page.goto(f"{server.address}?token={token}")
        found.append(one.open(server.address, "photo00"))
        one.until(f"clickgrain.store.state.images.some((each) => each.people.length === {len(found)})")
    return found


def test_who_works_on_the_image_and_taking_it_over(people, expect):
    anna, ben = people
    expect(anna.page.locator("#bar .people")).to_have_text("with Ben")
    strip = ben.page.locator("#team")
    expect(strip).to_contain_text("Anna is working on this image.")
    expect(anna.page.locator("#team")).to_be_hidden()
    row = ben.page.get_by_role("listbox", name="Images").get_by_role("option", name="photo00")
    expect(row).to_contain_text("Anna")

    ben.page.mouse.click(*ben.screen(56, 56))
    expect(ben.page.locator("#hint")).to_contain_text("Anna is working on this image; take it over to change it")
    assert ben.objects() == []

    strip.get_by_role("button", name="Take it over").click()
    expect(strip).to_be_hidden()
    expect(anna.page.locator("#team")).to_contain_text("Ben is working on this image.")
    ben.take(56, 56)
    anna.until("clickgrain.store.state.image.document.objects.length === 1")


def test_an_image_is_sent_back_with_a_note_and_checked(people, expect):
    anna, ben = people
    anna.take(56, 56)
    anna.press("Control+Enter", wait=False)
    anna.ready("photo01")
    expect(ben.page.locator("#team")).to_be_hidden()  # Anna has gone on
    ben.until("clickgrain.store.state.image.document.status === 'done'")
    ben.page.get_by_label("Status of the image").select_option("sent_back")
    ben.page.get_by_label("Note").fill("the left edge is missing")
    ben.page.get_by_role("button", name="Send back, next image").click()
    ben.ready("photo01")

    anna.page.get_by_label("Show images by status").select_option("sent_back")
    anna.page.get_by_role("listbox", name="Images").get_by_role("option", name="photo00").click()
    anna.ready("photo00")
    expect(anna.page.locator("#team")).to_have_text("Sent back by Ben: the left edge is missing")
    anna.page.get_by_label("Show images by status").select_option("all")
    anna.page.locator("#stage").focus()
    anna.press("Shift+Enter", wait=False)
    anna.ready("photo01")
    anna.press("Control+z", wait=False)
    anna.ready("photo00")
    anna.until("clickgrain.store.state.image.document.status === 'sent_back'")
    expect(anna.page.locator("#team")).to_contain_text("the left edge is missing")


def test_who_started_to_learn_is_told(people, expect):
    anna, ben = people
    ben.page.evaluate("clickgrain.open.learn()")
    job = anna.page.evaluate("""fetch("/api/learn", { method: "POST", body: JSON.stringify({ minutes: 0.2 }),
        headers: { "X-Clickgrain": "1", "Content-Type": "application/json" } }).then((answer) => answer.json())""")
    assert job["job"]["user"] == "Anna"
    expect(ben.page.locator(".learn .running")).to_contain_text("started by Anna")
    ben.page.get_by_role("button", name="Stop").click()


def test_the_objects_of_least_agreement_are_listed_and_all_are_a_file(people, expect):
    anna, ben = people
    anna.take(56, 56)
    ben.page.locator("#team").get_by_role("button", name="Take it over").click()
    ben.until("clickgrain.store.state.image.document.objects.length === 1")
    ben.page.evaluate("""fetch("/api/images/1/actions", { method: "POST",
        headers: { "X-Clickgrain": "1", "Content-Type": "application/json" },
        body: JSON.stringify({ seq: clickgrain.store.state.image.document.seq, active: 0, action:
            { kind: "object.add_steps", steps: [{ type: "brush", points: [[140, 100]], radius: 5 }] } }) })""")
    ben.until("clickgrain.store.state.image.document.objects.length === 2")
    ben.page.evaluate("clickgrain.open.statistics()")
    dialog = ben.page.locator(".statistics-dialog")
    rows = dialog.locator("h3:has-text('least agreement') + .scroll tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("Anna, then Ben")
    expect(rows.first).to_contain_text("Ben only")
    expect(rows.last).to_contain_text("kept")
    with ben.page.expect_download() as download:
        dialog.get_by_role("link", name="All pairs, as CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert [line.split(",")[3] for line in lines] == ["how", "kept", "second only"]
