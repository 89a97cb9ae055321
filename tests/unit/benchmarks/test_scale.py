"""The simulation agrees with arithmetic where arithmetic knows the answer."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.scale import ScaleArgs, core_seconds, limits, machine_of, main, prices
from benchmarks.scale_simulation import STAGES, Fleet, Machine, simulate, simulate_training

BENCH = {
    "stages": [
        {"name": "read", "seconds": 9.0, "cores": 1.0, "images": 1, "limit": "processor"},
        {"name": "decode", "seconds": 0.4, "cores": 0.5, "images": 10, "limit": "processor"},
        {"name": "merge", "seconds": 0.8, "cores": 1.0, "images": 10, "limit": "processor"},
        {"name": "training step", "seconds": 1.0, "cores": 2.0, "images": 10, "limit": "processor"},
    ]
}
FOREVER = 1e12
EVEN = Fleet(4, 0.0, FOREVER)
PLAIN = Machine(0.0, 100.0, 1e9)
"""100 images a second, and nothing else to do."""


def args(**values):
    return ScaleArgs(Path("bench.json"), **({"machines": 4, "cores": 10, "shard": 1000, "per_tar": 0} | values))


def test_processor_time_counts_and_the_network_limits():
    assert core_seconds(BENCH) == pytest.approx(0.1)
    machine = machine_of(args(), BENCH)
    assert (machine.compute, machine.network) == (pytest.approx(100), 1000)
    assert machine_of(args(image_kb=10_000, megabytes=100), BENCH).network == pytest.approx(10)


def test_a_gpu_limits_where_it_is_the_slowest():
    slow = {"name": "features", "seconds": 2.0, "cores": 0.1, "images": 10, "limit": "cuda"}
    assert machine_of(args(cores=1000), {**BENCH, "stages": [*BENCH["stages"], slow]}).compute > 1000
    with_gpu = {"device": "cuda", "stages": [*BENCH["stages"], slow]}
    assert machine_of(args(cores=1000), with_gpu).compute == pytest.approx(5)


class TestPropose:
    def test_even_machines_that_live_take_exactly_their_time(self):
        took = simulate(4_000_000, 4000, 0.0, PLAIN, EVEN)
        assert took.hours == pytest.approx(4_000_000 / 100 / 4 / 3600)
        assert took.shares["trees"] == pytest.approx(1)

    def test_one_shard_too_many_costs_one_shard(self):
        took = simulate(5000, 5, 0.0, PLAIN, EVEN)
        assert took.hours == pytest.approx(2 * 1000 / 100 / 3600)
        assert took.shares["idle"] == pytest.approx(3 / 8)

    def test_all_that_a_process_does_before_and_after_its_images_counts(self):
        machine = Machine(5.0, 100.0, 200.0, indexed=500.0, upload=0.003)
        took = simulate(4000, 4, 7.0, machine, EVEN)
        seconds = {"start": 5.0, "list": 7.0, "index": 2.0, "trees": 10.0, "upload": 3.0}
        assert took.hours * 3600 == pytest.approx(27)
        assert took.shares == pytest.approx(dict.fromkeys(STAGES, 0.0) | {k: v / 27 for k, v in seconds.items()})

    def test_machines_share_what_the_bucket_gives(self):
        """Four machines at 100 a second, and a bucket that gives 160: each has 40, and waits 60 % of the time."""
        took = simulate(4000, 4, 0.0, Machine(0.0, 100.0, 1e9, shared=160.0), EVEN)
        assert took.hours * 3600 == pytest.approx(25)
        assert took.shares["network"] == pytest.approx(0.6)

    def test_what_slow_machines_leave_of_the_network_others_use(self):
        fleet = Fleet(64, 0.5, FOREVER)
        alone, shared = (simulate(6_400_000, 640, 0.0, Machine(0.0, 100.0, 1e9, s), fleet) for s in (1e9, 6400.0))
        evenly = 6_400_000 / 6400 / 3600
        assert alone.hours < shared.hours
        assert shared.hours < 1.15 * evenly  # with a fixed part each, the slowest (20 a second) would set the pace

    def test_its_own_network_limits_a_machine(self):
        took = simulate(4000, 4, 0.0, Machine(0.0, 100.0, 25.0), EVEN)
        assert took.hours * 3600 == pytest.approx(40)
        assert took.shares["network"] == pytest.approx(0.75)

    def test_a_queue_beats_equal_parts_where_speeds_differ(self):
        fleet = Fleet(16, 0.3, FOREVER)
        taken, equal = (simulate(4e6, 4000, 0.0, PLAIN, fleet, queue=queue).hours for queue in (True, False))
        assert taken < 0.9 * equal

    def test_shards_that_outlive_machines_are_done_again(self):
        short = Fleet(4, 0.0, 36.0)  # 10 s a shard
        took = simulate(400_000, 400, 0.0, PLAIN, short)
        # a shard is done before its machine vanishes with probability exp(-10/36); the rest is lost
        assert 0.08 < took.shares["lost"] < 0.3
        assert took.hours > 400_000 / 100 / 4 / 3600
        assert took.shares["trees"] == pytest.approx(400_000 / 100 / (took.hours * 3600 * 4))
        assert simulate(400_000, 4000, 0.0, PLAIN, short).shares["lost"] < took.shares["lost"] / 3


class TestTraining:
    def test_machines_that_live_take_exactly_their_time(self):
        hours, lost = simulate_training(1000, 0.5, 0.1, 30.0, 60.0, EVEN)
        assert (hours * 3600, lost) == (pytest.approx(630), pytest.approx(0))

    def test_the_slowest_sets_the_pace(self):
        hours, _ = simulate_training(1000, 1.0, 0.0, 0.0, 60.0, Fleet(64, 0.1, FOREVER))
        assert 1.15 < hours * 3.6 < 1.5

    def test_a_machine_that_vanishes_costs_a_start_and_the_steps_since_the_checkpoint(self):
        fleet = Fleet(4, 0.0, 4 * 3600.0)  # one an hour
        often, seldom = (simulate_training(36_000, 1.0, 0.0, 60.0, every, fleet) for every in (60.0, 1800.0))
        assert 0.01 < often[1] < 0.05  # 60 s to start and 30 s of steps an hour: 2.5 %
        assert seldom[1] > 3 * often[1]

    def test_a_start_that_no_fleet_survives_is_said(self):
        assert simulate_training(10, 1.0, 0.0, 3600.0, 60.0, Fleet(64, 0.0, 3600.0)) is None


def test_prices():
    given = args(image_kb=400.0, shard=1000, get_price=1.0, list_price=10.0, month_price=20.0)
    requests, month = prices(1e6, given)
    assert requests == pytest.approx(
        1 + 10 * (1000 * 1000 + 1000) / 1e6
    )  # each of 1,000 processes lists 1,000 pages
    assert month == pytest.approx(20 * (0.4 + 0.0185))
    requests, _ = prices(1e6, replace(given, per_tar=1000))
    assert requests == pytest.approx(1.1 + 10 * (1000 + 1000) / 1e6)  # a page each, and 100,000 blocks of 4 MB


def test_what_breaks_first_grows_with_the_number():
    given = args(shard=100_000)
    assert limits(1, given, PLAIN) == []
    assert [text.split()[0] for text in limits(100, given, PLAIN)] == ["one", "the"]
    assert len(limits(10_000, given, Machine(0.0, 1e5, 1e5))) == 6
    crowded = limits(1, replace(given, machines=10, prefixes=1), Machine(0.0, 1000.0, 2000.0))
    assert crowded == ["10,000 requests a second need 2 prefixes"]


def test_the_tables(tmp_path, capsys):
    (tmp_path / "b.json").write_text(json.dumps(BENCH))
    main(ScaleArgs(tmp_path / "b.json"))
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("100.0 ms of a core for an image; 16 cores: 160 a second")
    starts = [line.split(" |")[0] for line in shown]
    assert [starts.count(name) for name in ("1", "100", "10,000", "64")] == [3, 2, 2, 1]
    shares = next(line for line in shown if line.startswith("millions | start")).partition("   ")[0]
    row = shown[shown.index(next(line for line in shown if line.startswith("millions | start"))) + 1]
    assert len(row.split("|")) == len(shares.split("|")) == 1 + len(STAGES)
    assert sum(float(cell.strip(" %")) for cell in row.split("|")[1:]) == pytest.approx(100, abs=0.5)
