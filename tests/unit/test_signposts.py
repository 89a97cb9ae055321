"""The pages that lead newcomers through the code name files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = (ROOT, ROOT / "src" / "clickgrain", ROOT / "src" / "clickgrain" / "annotate")


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_file_they_name_exists(page):
    named = set(re.findall(r"`([\w/]+\.(?:py|js|md))`", (ROOT / page).read_text(encoding="utf-8")))
    assert len(named) > 8
    assert [name for name in sorted(named) if not any((place / name).exists() for place in PLACES)] == []


def test_every_package_is_described_and_drawn():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawing = (ROOT / "docs" / "images" / "architecture.svg").read_text(encoding="utf-8")
    source = ROOT / "src" / "clickgrain"
    packages = {path.relative_to(source).parts[0].removesuffix(".py") for path in source.rglob("*.py")}
    packages -= {"__init__", "__main__"}
    assert packages == set(re.findall(r">(\w+)</text>", drawing))
    rows = "".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    assert packages == set(re.findall(r"`(\w+)`", rows))
