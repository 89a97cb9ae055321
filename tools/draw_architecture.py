"""Draw `docs/images/architecture.svg`: the packages of clickgrain on their floors, and who imports whom.

    python tools/draw_architecture.py [--check]

Everything comes from the imports in `src/clickgrain`: a package stands one floor above the highest one that it
imports from, so every arrow points down. Imports for type checking do not count. Only the arrows that no longer way
implies are drawn. `--check` writes nothing and fails when the drawing is out of date (`make check` runs it).
"""

import argparse
import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE, DRAWING = ROOT / "src" / "clickgrain", ROOT / "docs" / "images" / "architecture.svg"
WIDTH, HEIGHT, GAP, FLOOR = 110, 32, 56, 70
"""Of a box, of the space between boxes, and from floor to floor, in pixels."""
STYLE = (
    "rect{fill:#f4f7fb;stroke:#4a6fa5;stroke-width:1.5} text{font:14px sans-serif;fill:#1c2733;text-anchor:middle}"
    " path{fill:none;stroke:#8aa0bd;stroke-width:1.3;marker-end:url(#tip)} marker path{fill:#8aa0bd;stroke:none}"
)


def imports(source: Path) -> dict[str, set[str]]:
    """Package or module right below `source` -> those that it imports, also inside functions."""
    found: dict[str, set[str]] = {}
    for path in sorted(source.rglob("*.py")):
        name = path.relative_to(source).parts[0].removesuffix(".py")
        if name in ("__init__", "__main__"):
            continue
        mine = found.setdefault(name, set())
        waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                continue
            waiting += ast.iter_child_nodes(node)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("clickgrain."):
                mine.add((node.module or "").split(".")[1])
        mine.discard(name)
    return {name: mine & set(found) for name, mine in found.items()}


def floors(graph: dict[str, set[str]]) -> dict[str, int]:
    """Floor of every package: 0 imports nothing, the others stand one above the highest that they import.

    Raises:
        ValueError: two packages import each other.
    """
    levels: dict[str, int] = {}
    while len(levels) < len(graph):
        ready = [name for name, below in graph.items() if name not in levels and below <= set(levels)]
        if not ready:
            raise ValueError(f"a circle of imports among {sorted(set(graph) - set(levels))}")
        levels |= {name: 1 + max((levels[one] for one in graph[name]), default=-1) for name in ready}
    return levels


def reduced(graph: dict[str, set[str]]) -> list[tuple[str, str]]:
    """(from, to) of the imports that are not implied by a way over other packages."""
    below: dict[str, set[str]] = {}
    for name in sorted(graph, key=floors(graph).__getitem__):
        below[name] = set().union(graph[name], *(below[one] for one in graph[name]))
    return [
        (name, one)
        for name in sorted(graph)
        for one in sorted(graph[name])
        if not any(one in below[other] for other in graph[name] - {one})
    ]


def draw(graph: dict[str, set[str]]) -> str:
    """The SVG; rows are floors, the highest on top, boxes in the middle of their row."""
    levels = floors(graph)
    rows = [sorted(name for name in levels if levels[name] == level) for level in range(max(levels.values()) + 1)]
    wide = max(len(row) for row in rows) * (WIDTH + GAP) + GAP
    high = len(rows) * FLOOR + GAP
    place = {
        name: (wide / 2 + (i - (len(row) - 1) / 2) * (WIDTH + GAP), high - GAP - HEIGHT / 2 - level * FLOOR)
        for level, row in enumerate(rows)
        for i, name in enumerate(row)
    }
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}"'
        ' role="img" aria-label="Packages of clickgrain; every arrow is an import and points down">',
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z"/></marker></defs>',
        f'<rect width="{wide}" height="{high}" style="fill:#fff;stroke:none"/>',
    ]
    for name, other in reduced(graph):
        (x1, y1), (x2, y2) = place[name], place[other]
        bend, aside = (y2 - y1) / 2, 0.0
        if levels[name] - levels[other] > 1:  # swings out, past the boxes on the floors between
            aside = WIDTH * 0.8 if x2 >= x1 else -WIDTH * 0.8
        x1, x2 = x1 + aside * 0.4, x2 + aside * 0.2
        curve = f"M{x1:.0f} {y1 + HEIGHT / 2:.0f}C{x1 + aside:.0f} {y1 + bend:.0f} {x2 + aside:.0f} {y2 - bend:.0f}"
        parts.append(f'<path d="{curve} {x2:.0f} {y2 - HEIGHT / 2:.0f}"/>')
    for name, (x, y) in sorted(place.items()):
        parts.append(
            f'<rect x="{x - WIDTH / 2:.0f}" y="{y - HEIGHT / 2:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
            f'<text x="{x:.0f}" y="{y + 5:.0f}">{name}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def main(arguments: list[str] | None = None) -> int:
    """Write the drawing, or only compare it; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the drawing is out of date")
    made = draw(imports(SOURCE))
    if not parser.parse_args(arguments).check:
        DRAWING.write_text(made, encoding="utf-8")
    elif not DRAWING.exists() or DRAWING.read_text(encoding="utf-8") != made:
        print(f"{DRAWING.name} is out of date; run: python tools/draw_architecture.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
