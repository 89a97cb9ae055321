"""The simulation agrees with arithmetic where arithmetic knows the answer."""

import json
from pathlib import Path

import pytest

from benchmarks.scale import ScaleArgs, core_seconds, limits, main, rate_of, simulate

BENCH = {
    "stages": [
        {"name": "read", "seconds": 9.0, "cores": 1.0, "images": 1},
        {"name": "decode", "seconds": 0.4, "cores": 0.5, "images": 10},
        {"name": "merge", "seconds": 0.8, "cores": 1.0, "images": 10},
    ]
}


def args(**values):
    settings = {"machines": 4, "cores": 10, "shard": 1000, "lifetime": 1e9, "uneven": 0.0} | values
    return ScaleArgs(Path("bench.json"), **settings)


def test_processor_time_counts_and_the_network_limits():
    assert core_seconds(BENCH) == pytest.approx(0.1)
    assert rate_of(args(), 0.1) == pytest.approx(100)
    assert rate_of(args(image_kb=10_000, megabytes=100), 0.1) == pytest.approx(10)


def test_even_machines_that_live_take_exactly_their_time():
    hours, useful = simulate(4_000_000, 100, args())
    assert hours == pytest.approx(4_000_000 / 100 / 4 / 3600)
    assert useful == pytest.approx(1)


def test_one_shard_too_many_costs_one_shard():
    hours, _ = simulate(5000, 100, args())
    assert hours == pytest.approx(2 * 1000 / 100 / 3600)


def test_a_queue_beats_equal_parts_where_speeds_differ():
    uneven = args(uneven=0.3, machines=16)
    taken, equal = (simulate(4_000_000, 100, uneven, queue=queue)[0] for queue in (True, False))
    assert taken < 0.9 * equal


def test_shards_that_outlive_machines_are_done_again():
    short = args(lifetime=0.01, shard=1000)  # 36 s of life, 10 s a shard
    hours, useful = simulate(400_000, 100, short)
    # a shard is done before its machine vanishes with probability exp(-10/36); waste is what the rest took
    assert 0.6 < useful < 0.98
    assert hours > 400_000 / 100 / 4 / 3600
    assert simulate(400_000, 100, args(lifetime=0.01, shard=100))[1] > useful


def test_what_breaks_first_grows_with_the_number():
    assert limits(1, args(shard=100_000)) == []
    assert [text.split()[0] for text in limits(100, args(shard=100_000))] == ["one", "the"]
    assert len(limits(10_000, args(shard=100_000))) == 4


def test_the_table(tmp_path, capsys):
    (tmp_path / "b.json").write_text(json.dumps(BENCH))
    main(ScaleArgs(tmp_path / "b.json"))
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("100.0 ms of a core for an image; 16 cores: 160 a second")
    assert [line.split(" |")[0] for line in shown[3:6]] == ["1", "100", "10,000"]
