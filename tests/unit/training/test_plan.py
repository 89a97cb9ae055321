"""The number of steps of a run: fixed, or what the clock leaves room for."""

import pytest

from clickgrain.progress import Quiet
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


class Told(Quiet):
    """Keeps what it is told."""

    def __init__(self):
        self.ends, self.notes = [], []

    def expect(self, total):
        self.ends.append(total)

    def note(self, text):
        self.notes.append(text)


@pytest.fixture
def bar():
    return Told()


def finish(plan, clock, pace, bar):
    """Do all steps; how many there were. `pace` gives the seconds of a step."""
    done = 0
    while done < plan.steps:
        clock.now += pace(done)
        done += 1
        plan.update(done, bar)
    return done


def test_a_number_stays_whatever_the_clock_says(clock, bar):
    plan = Plan(30)
    clock.now += 1e6
    plan.update(7, bar)
    assert (plan.steps, bar.ends, bar.notes) == (30, [], [])


def test_the_clock_starts_with_the_first_optimizer_step(clock, bar):
    plan = Plan(300, seconds=600)
    clock.now += 5000  # photos are read, kernels are compiled
    plan.update(1, bar)
    assert (plan.spent, plan.steps) == (0, 300)


def test_a_guess_of_few_fast_steps_does_not_end_the_run(clock, bar):
    assert 250 <= finish(Plan(3, seconds=3.0), clock, lambda done: 0.01, bar) <= 302


def test_the_first_guess_stands_until_the_pace_is_known(clock, bar):
    plan = Plan(300, seconds=600)
    plan.update(1, bar)
    for done in range(2, 11):
        clock.now += 2
        plan.update(done, bar)
    assert (plan.steps, bar.ends) == (300, [])
    clock.now += 2
    plan.update(11, bar)
    assert plan.steps == 11 + 290  # ten steps took 20 s of the 600
    assert bar.ends == [301]


def test_slow_steps_are_planned_with_before_they_eat_up_the_time(clock, bar):
    plan = Plan(3000, seconds=3600)
    plan.update(1, bar)
    for done in (2, 3, 4):
        clock.now += 66
        plan.update(done, bar)
    assert plan.steps == 56  # after three of them, 5 % of the time


@pytest.mark.parametrize("pace", [0.5, 1.0, 3.0])
def test_a_run_ends_when_its_time_is_up(clock, bar, pace):
    plan = Plan(200, seconds=100)
    finish(plan, clock, lambda done: pace, bar)
    assert plan.spent == pytest.approx(100, abs=pace)


def test_a_run_that_becomes_slower_still_ends_in_time(clock, bar):
    plan = Plan(100, seconds=100)
    assert finish(plan, clock, lambda done: 1 if done <= 50 else 5, bar) == 61
    assert plan.spent == 100


def test_a_few_steps_at_least(clock, bar):
    assert finish(Plan(LEAST, seconds=1), clock, lambda done: 10, bar) == LEAST
    assert bar.notes == ["about 20 steps of 10.00 s are the fewest there can be, 3.3 minutes"]


def test_what_to_expect_is_said_once(clock, bar):
    finish(Plan(300, seconds=600), clock, lambda done: 2.0, bar)
    assert bar.notes == ["about 301 steps of 2.00 s fill 10 minutes"]


def test_too_few_to_learn_much_are_warned_of(clock, bar):
    """An hour on a CPU that needs 66 s a step."""
    finish(Plan(3000, seconds=3600), clock, lambda done: 66.0, bar)
    said, warning = bar.notes
    assert said == "about 56 steps of 66.00 s fill 60 minutes"
    assert warning.startswith(
        "56 steps are too few to learn much: 300 take about 330 minutes here; give more --minutes"
    )


def test_time_between_sessions_does_not_count(clock, bar):
    plan = Plan(100, seconds=100)
    plan.update(1, bar)
    clock.now += 50
    plan.update(26, bar)
    steps, spent = plan.steps, plan.spent
    assert (steps, spent) == (51, 50)
    clock.now += 1e5
    again = Plan(100, seconds=100)
    again.resume(steps, spent)
    assert (again.steps, again.spent) == (51, 50)
    notes = list(bar.notes)
    again.update(27, bar)  # its first step compiles again and is not timed
    clock.now += 25
    again.update(31, bar)
    assert again.steps == 31 + 10  # 30 steps in 75 s, 25 s are left
    assert bar.notes == notes


def test_a_state_of_before_there_were_plans(clock):
    plan = Plan(100, seconds=100)
    plan.resume(0, 0.0)
    assert plan.steps == 100
