"""Pages: nothing but themselves, whatever the names are; charts that show what they are given, in both themes."""

import re

import numpy as np
import pytest

from clickgrain.errors import DataError
from clickgrain.evaluation.page import Cell, Figure, Line, Row, Table, line_chart, machine, write_page

TEMPLATE = """
{% extends "page.html" %}
{% import "macros.html" as m %}
{% block title %}{{ name }}{% endblock %}
{% block sections %}
{{ m.table(table) }}{{ m.chart(chart) }}{{ m.gallery([figure]) }}{{ m.facts({name: name}) }}
{{ m.listing([name], 1) }}
{% endblock %}
"""


@pytest.fixture
def template(tmp_path):
    path = tmp_path / "any.html"
    path.write_text(TEMPLATE)
    return path


def chart(*names, **more):
    lines = [Line(name, [(1, 0.5), (2, 0.9 + i / 1000)], i) for i, name in enumerate(names)]
    return line_chart(lines, x="clicks", y="y", title="t", **({"y_range": (0.0, 1.0)} | more))


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", '"><img src=x>', "a&b</style>", "\udcff.png", "$x_1$"]
)
def test_names_cannot_become_markup(hostile, template, tmp_path):
    table = Table(
        [hostile], [Row(hostile, [Cell(hostile, hostile)], 0, hostile)], [(hostile, hostile)], [(hostile, [])]
    )
    shown = Figure(np.zeros((8, 8, 3), np.uint8), hostile, hostile, hostile)
    path = write_page(
        tmp_path / "deep" / "x.html", template, lead=hostile, name=hostile, table=table, figure=shown,
        chart=chart(hostile, "other"),
    )  # fmt: skip
    text = path.read_text(encoding="utf-8")
    assert text.count("<script") == 0
    assert text.count("<img") == 1
    escaped = hostile.encode("utf-8", "backslashreplace").decode().replace("&", "&amp;")
    escaped = escaped.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;")
    assert text.count(escaped) >= 13
    assert not re.search(r"https?:|@import|url\(|<link|xmlns", text)


def test_a_folder_that_cannot_be_written_is_named(template, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match=r"file.*cannot be written"):
        write_page(tmp_path / "file" / "x.html", tmp_path / "any.html", lead="", name="", table=Table([""], []),
                   figure=Figure(np.zeros((8, 8, 3), np.uint8), ""), chart=chart("a"))  # fmt: skip


def test_the_machine_is_described_without_its_name():
    import getpass
    import platform

    described = machine()
    assert set(described) == {"Processor", "System", "Versions", "clickgrain", "Time"}
    assert all(described.values())
    if len(platform.node()) > 4:
        assert platform.node() not in " ".join(described.values())
    assert getpass.getuser() not in described["System"].split()


def curves(svg):
    """The points of every line of a series: (x, y) from the top left."""
    found = re.findall(r'<path d="([^"]+)" style="fill: none;[^"]*stroke: var\(--s', svg)
    return [[(float(x), float(y)) for x, y in re.findall(r"[ML] ([\d.]+) ([\d.]+)", path)] for path in found]


def test_points_lie_where_their_values_are():
    drawn = line_chart([Line("a", [(0, 0.0), (5, 0.5), (10, 1.0)])], x="x", y="y", title="t", y_range=(0, 1))
    (((x0, y0), (x1, y1), (x2, y2)),) = curves(drawn.svg)
    assert x1 == pytest.approx((x0 + x2) / 2, abs=0.1)
    assert y1 == pytest.approx((y0 + y2) / 2, abs=0.1)
    assert x0 < x2
    assert y0 > y2


def test_a_line_per_series_told_apart_without_color():
    drawn = chart("first", "second")
    assert len(curves(drawn.svg)) == 2
    assert drawn.svg.count("stroke-dasharray") == 1
    assert [line.name for line in drawn.lines] == ["first", "second"]
    assert drawn.svg.count(">first<") == drawn.svg.count(">second<") == 1
    assert chart("alone").lines == ()


def test_colors_are_those_of_the_theme():
    svg = chart("first", "second").svg
    assert {f"var(--s{i})" for i in (0, 1)} | {"var(--line)"} <= set(re.findall(r"var\(--\w+\)", svg))
    assert not re.search(r"#[0-9a-f]{6}|font-family|<style", svg)
    assert not set(re.findall(r' id="(\w+)"', svg)) & set(re.findall(r' id="(\w+)"', chart("first").svg))


def test_names_at_the_ends_never_cover_each_other():
    svg = chart(*(f"n{i}" for i in range(5))).svg
    heights = sorted(float(y) for y in re.findall(r'class="name">\s*<text [^>]* y="([\d.]+)"', svg))
    assert len(heights) == 5
    assert min(np.diff(heights)) >= 16
    floor = line_chart([Line(f"n{i}", [(1, 0.0)]) for i in range(5)], x="x", y="y", title="t", y_range=(0, 1)).svg
    heights = [float(y) for y in re.findall(r'class="name">\s*<text [^>]* y="([\d.]+)"', floor)]
    assert max(heights) < 350


@pytest.mark.parametrize("points", [[(1, 0.0)], [(1, 3.0), (2, 1e6)], [(1, -5.0), (2, 0.003)]])
def test_odd_values_are_a_chart(points):
    drawn = line_chart([Line("a", points)], x="x", y="y", title="t")
    assert not re.search("nan|inf", drawn.svg)
