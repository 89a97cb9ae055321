"""The number of steps of a run: fixed, or what the clock leaves room for."""

import pytest

from clickgrain.training import plan as module
from clickgrain.training.plan import LEAST, Plan


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when a test says so."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_number_stays_whatever_the_clock_says(clock):
    plan = Plan(30)
    clock.now += 1e6
    assert not plan.update(7)
    assert plan.steps == 30


def test_the_first_guess_stands_until_the_pace_is_known(clock):
    plan = Plan(300, seconds=600)
    clock.now += 20
    assert not plan.update(1)
    clock.now += 40
    assert plan.update(10)
    assert plan.steps == 100  # ten steps took a tenth of the time


@pytest.mark.parametrize("pace", [0.5, 1.0, 3.0])
def test_a_run_ends_when_its_time_is_up(clock, pace):
    plan, done = Plan(200, seconds=100), 0
    while done < plan.steps:
        clock.now += pace
        done += 1
        plan.update(done)
    assert plan.spent == pytest.approx(100, abs=pace)


def test_a_run_that_becomes_slower_still_ends_in_time(clock):
    plan, done = Plan(100, seconds=100), 0
    while done < plan.steps:
        clock.now += 1 if done < 50 else 5
        done += 1
        plan.update(done)
    assert (done, plan.spent) == (60, 100)


def test_a_few_steps_at_least(clock):
    plan, done = Plan(LEAST, seconds=1), 0
    while done < plan.steps:
        clock.now += 10
        done += 1
        plan.update(done)
    assert done == LEAST


def test_time_between_sittings_does_not_count(clock):
    plan = Plan(100, seconds=100)
    clock.now += 50
    plan.update(25)
    steps, spent = plan.steps, plan.spent
    clock.now += 1e5
    again = Plan(100, seconds=100)
    again.resume(steps, spent)
    assert (again.steps, again.spent) == (50, 50)
    clock.now += 25
    again.update(30)
    assert again.steps == 40


def test_a_state_of_before_there_were_plans(clock):
    plan = Plan(100, seconds=100)
    plan.resume(0, 0.0)
    assert plan.steps == 100
