"""Learn: from ten objects on they are targets too; both models are measured; the user decides which answers."""

import json

import pytest

from clickgrain.annotate.models import describe_model
from clickgrain.annotate.project import Project

DOTS = """(async (count) => {
    const { annotator } = clickgrain;
    for (let i = 0; i < count; i++) {
        const points = [[10 + (i % 10) * 15, 10 + Math.floor(i / 10) * 20]];
        await annotator.addSteps([{ type: "brush", points, radius: 4, label: 1 }], true);
    }
})"""


def learned(model, **report):
    """A finished job of Learn, as the server tells it."""
    models = {"old": {"id": "tree", "name": "tree mode"}, "new": {"id": model.id, "name": model.name}}
    result = {
        **models, "objects": 8, "images": 6, "old_clicks": 3.5, "old_interval": [2.9, 4.2], "new_clicks": 2.25,
        "new_interval": [1.8, 2.7], "difference": -1.25, "interval": [-1.9, -0.6], "over": "images",
        "taught": ["photo00.png#1", "photo01.png#2"], "rows": [{"id": "a", "old": 3, "new": 2}], **report,
    }  # fmt: skip
    job = {"id": "j9", "kind": "learn", "state": "done", "done": 1, "total": 1, "text": "", "error": None}
    return json.dumps({**job, "result": result})


def test_learning_from_objects_waits_for_ten_of_them(shared, tab, expect):
    page = tab().open(shared.address, "photo13")
    page.page.route("**/api/learn", lambda route: route.fulfill(json={"objects": 7, "refused": 0, "enough": 10}))
    page.page.get_by_role("button", name="Learn from this folder").click()
    dialog = page.page.locator(".learn")
    expect(dialog).to_contain_text("7 accepted so far; 3 more")
    expect(dialog.get_by_role("checkbox")).to_be_disabled()


def test_a_run_that_was_stopped_is_told_and_offered_with_its_minutes(shared, tab, expect):
    page = tab().open(shared.address, "photo13")
    stopped = {"minutes": 7.5, "objects": False, "text": "training: step 3 of 90"}
    told = {"objects": 12, "refused": 0, "enough": 10, "stopped": stopped}
    page.page.route("**/api/learn", lambda route: route.fulfill(json=told))
    page.page.get_by_role("button", name="Learn from this folder").click()
    dialog = page.page.locator(".learn")
    expect(dialog).to_contain_text("A run of 7.5 minutes was stopped (training: step 3 of 90)")
    expect(dialog.get_by_label("Minutes")).to_have_value("7.5")
    expect(dialog.get_by_role("checkbox")).not_to_be_checked()


def test_ten_objects_teach_and_the_server_is_told(own_server, tab, expect):
    page = tab().open(own_server(2).address)
    page.page.evaluate(f"{DOTS}(11)")
    page.page.get_by_role("button", name="Learn from this folder").click()
    box = page.page.get_by_role("checkbox", name="Learn from your 11 accepted objects too")
    expect(box).to_be_checked()
    asked = []

    def answer(route):
        if route.request.method == "POST":
            asked.append(route.request.post_data_json)
            job = {
                "id": "j9",
                "kind": "learn",
                "state": "running",
                "done": 0,
                "total": 0,
                "text": "",
                "error": None,
            }
            route.fulfill(json={"job": {**job, "result": None}})
        else:
            route.fallback()

    page.page.route("**/api/learn", answer)
    page.page.get_by_role("button", name="Learn", exact=True).click()
    expect(page.page.locator(".learn .running")).to_be_visible()
    assert asked == [{"minutes": 30, "objects": True}]


@pytest.fixture
def labelled(tmp_path):
    """A tiny network that learned from labels, and a server whose project knows it."""
    from clickgrain.features.config import EncoderConfig
    from clickgrain.models.config import GrainConfig
    from clickgrain.models.registry import build_model
    from clickgrain.weights import save_model

    sizes = EncoderConfig((4, 4, 6, 8, 8), (1, 1, 1, 1, 1))
    config = GrainConfig(sizes, (4, 4, 6, 8), long_side=64, labelled=True).to_json()
    save_model(tmp_path / "taught", config=config, tensors=build_model(config).state_dict())
    return tmp_path / "taught"


def test_the_gain_is_shown_before_the_new_model_answers(own_server, labelled, tab, expect):
    server = own_server()
    server.kill()
    project = Project(server.folder, model="tree")
    new = describe_model(str(labelled))
    project.database.save_model(new)
    project.close()
    server.start()
    page = tab().open(server.address)
    page.page.evaluate(f"clickgrain.live.takeJobs([{learned(new)}])")
    page.page.get_by_role("button", name="Learn from this folder").click()
    report = page.page.locator(".learn .report")
    expect(report).to_contain_text("8 objects in 6 images that neither model was trained on")
    expect(report).to_contain_text("3.5clicks an object, model in use: 2.9 to 4.2")
    expect(report).to_contain_text("2.3clicks an object, new model: 1.8 to 2.7")
    expect(report).to_contain_text("Fewer clicks: -1.3, between -1.9 and -0.6 with 95 % certainty over images")
    report.get_by_text("Learned from 2 accepted objects; no longer label-free").click()
    expect(report).to_contain_text("photo00.png#1, photo01.png#2")
    assert page.page.evaluate("clickgrain.store.state.model.id") == "tree"
    page.page.get_by_role("button", name="Use the new model").click()
    page.until("clickgrain.store.state.model.name === 'taught'")
    expect(page.page.locator("#bar .model")).to_have_text("taught (from labels)")
    expect(page.page.locator(".learn")).to_contain_text("The new model answers.")


def test_a_difference_that_may_be_chance_is_called_so(shared, tab, expect):
    page = tab().open(shared.address, "photo14")
    job = learned(
        type("Model", (), {"id": "x", "name": "x"}), difference=-0.2, interval=[-0.8, 0.5], over="objects"
    )
    page.page.evaluate(f"clickgrain.live.takeJobs([{{ ...{job}, state: 'running' }}])")
    page.page.evaluate(f"clickgrain.live.takeJobs([{job}])")
    expect(page.page.locator("#hint")).to_contain_text("A new model is ready")
    page.page.get_by_role("button", name="Learn from this folder").click()
    expect(page.page.locator(".learn .report")).to_contain_text("No certain difference in clicks: -0.2")
