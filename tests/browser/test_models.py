"""Another model is chosen on the page: it answers the next click on the image that is open."""

import pytest


@pytest.fixture
def tiny(tmp_path):
    """A network of a few thousand parameters, untrained; its folder."""
    from clickgrain.features.config import EncoderConfig
    from clickgrain.models.config import GrainConfig
    from clickgrain.models.registry import build_model
    from clickgrain.weights import save_model

    sizes = EncoderConfig((4, 4, 6, 8, 8), (1, 1, 1, 1, 1))
    config = GrainConfig(sizes, (4, 4, 6, 8), long_side=64).to_json()
    save_model(tmp_path / "tiny", config=config, tensors=build_model(config).state_dict())
    return tmp_path / "tiny"


@pytest.fixture
def two_models(own_server, tiny):
    """A server in tree mode whose project has used a network before."""
    from clickgrain.annotate.project import Project

    server = own_server()
    server.kill()
    Project(server.folder, model=str(tiny)).close()
    server.start()
    return server


def test_another_model_answers_the_next_click(two_models, tab, expect):
    page = tab().open(two_models.address)
    page.take(44, 56)
    page.page.get_by_role("button", name="Learn from this folder").click()
    page.page.get_by_label("Model in use").select_option(label="tiny")
    page.until("clickgrain.store.state.model.kind === 'grain'")
    page.page.keyboard.press("Escape")
    expect(page.page.locator(".learn")).to_be_hidden()
    page.page.locator("#stage").focus()
    page.press("Enter", wait=False)
    assert len(page.click(110, 58)) == 2
    actions = page.page.evaluate("fetch('/api/images/1/log').then((answer) => answer.json())")["actions"]
    assert actions[1]["model"] == page.page.evaluate("clickgrain.store.state.model.hash")
    assert actions[0]["model"] != actions[1]["model"]
