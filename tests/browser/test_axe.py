"""axe-core finds nothing in the page or its dialogs, in either theme.

axe-core (MPL-2.0) is no part of clickgrain: CLICKGRAIN_AXE names its file, else npm fetches it; else skipped.
"""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

PACKAGE = "axe-core@4.10.3"
RULES = "{ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }"
FOUND = """axe.run(document, %s).then(({ violations }) => violations.map(({ id, nodes }) => [
    id, ...nodes.slice(0, 4).map((node) => `${node.html.slice(0, 120)} ${node.any[0]?.message ?? ""}`)
]))"""


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """The source of axe-core."""
    if named := os.environ.get("CLICKGRAIN_AXE"):
        return Path(named).read_text()
    if (npm := shutil.which("npm")) is None:
        pytest.skip("npm is not there to fetch axe-core")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run([npm, "pack", PACKAGE], cwd=folder, capture_output=True, check=False, timeout=120)
    if done.returncode:
        pytest.skip("npm could not fetch axe-core")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()


def test_axe_finds_nothing(own_server, tab, axe):
    page = tab(auto=True).open(own_server(2).address)
    page.page.evaluate(axe)
    complaints = {}

    def look(where):
        for theme in ("light", "dark"):
            page.page.emulate_media(color_scheme=theme)
            complaints[where, theme] = page.page.evaluate(FOUND % RULES)

    look("at first")
    page.click(44, 56)
    page.page.evaluate("""(async () => {
        await clickgrain.annotator.changeProject({ kind: "label.add", name: "disk" });
        await clickgrain.annotator.giveLabel(1);
    })()""")
    page.page.get_by_text("View", exact=True).click()
    look("with an object")
    page.press("p", wait=False)
    look("corners")
    for dialog in ("help", "label", "export", "statistics", "learn"):
        page.page.evaluate(f"clickgrain.open.{dialog}()")
        page.page.wait_for_timeout(400)
        look(dialog)
        page.page.keyboard.press("Escape")
    assert {where: found for where, found in complaints.items() if found} == {}
