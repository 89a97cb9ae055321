"""The benchmark of click maps: its image has all that they need."""

from benchmarks import bench_maps
from clickgrain.clicks.config import MAP_NAMES


def test_every_map_is_timed(monkeypatch, capsys):
    monkeypatch.setattr(bench_maps, "CALLS", 1)
    monkeypatch.setattr(bench_maps, "REPEATS", 1)
    image = bench_maps.photo()[:96, :128].copy()
    bench_maps.bench(image, bench_maps.leaves_of(image), 2)
    title, parts = capsys.readouterr().out.splitlines()
    assert title.startswith("stride 2")
    timed = {part.split()[0]: float(part.split()[1]) for part in parts.split(",")}
    assert timed.keys() == {name for name in MAP_NAMES if not name.endswith("-")}
    assert min(timed.values()) > 0
