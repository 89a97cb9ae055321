"""`benchmarks.scale`'s machines, event by event: they start, list, read over a shared network, and vanish."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clickgrain.jit import njit

STAGES = ("start", "list", "index", "trees", "network", "upload", "lost", "idle")
"""Where machines' time goes; `network`: cores wait for images, `lost`: on shards that vanished with a machine."""
START, LIST, INDEX, TREES, NETWORK, UPLOAD, LOST, IDLE = range(8)
MOST_DEATHS = 100_000  # of a training run, after which it counts as endless


@dataclass(frozen=True)
class Fleet:
    """Machines that work at once."""

    count: int
    uneven: float  # standard deviation of their speed, as a share
    lifetime: float  # seconds after which one vanishes on average; another takes its place at once
    seed: int = 0

    def speeds(self, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Of each machine; 1 is average."""
        return np.clip(rng.normal(1, self.uneven, self.count), 0.2, None)


@dataclass(frozen=True)
class Machine:
    """What a machine of average speed does."""

    start: float  # seconds of a process before it lists
    compute: float  # images a second by its cores or its GPU
    network: float  # images a second by its network
    shared: float = float("inf")  # images a second that the bucket gives to all machines together
    indexed: float = float("inf")  # images a second while it lists what a tar holds
    upload: float = 0.0  # seconds an image to write its tree back


@dataclass(frozen=True)
class Took:
    """What a simulated run took."""

    hours: float  # until the last shard is done
    shares: dict[str, float]  # of the machines' time, for each of `STAGES`


def simulate(
    images: float,  # in all
    shards: int,  # in which they are handed out
    listing: float,  # seconds in which a process lists their names
    machine: Machine,
    fleet: Fleet,
    *,
    queue: bool = True,  # machines take the next shard when they are free; else each has an equal part
) -> Took:
    """`propose`: every shard starts a process, which lists, reads and merges, and writes its store back.

    A shard whose machine vanishes is done again from its beginning.
    """
    rng = np.random.default_rng(fleet.seed)
    speeds = fleet.speeds(rng)
    waiting = np.array([shards] if queue else [len(p) for p in np.array_split(np.arange(shards), fleet.count)])
    each = images / shards
    work = np.array([machine.start, listing, each / machine.indexed, each, each * machine.upload])
    seconds, spent = _machines(
        work, waiting, speeds * machine.compute, machine.network, machine.shared, fleet.lifetime, fleet.seed
    )
    spent[IDLE] = seconds * fleet.count - spent.sum()
    return Took(seconds / 3600, dict(zip(STAGES, (spent / (seconds * fleet.count)).tolist())))


@njit()
def _machines(
    work: npt.NDArray[np.float64],  # of a shard: seconds to start, list and index, images, seconds to upload
    waiting: npt.NDArray[np.int64],  # shards in the queue, or for each machine
    compute: npt.NDArray[np.float64],  # images a second of each machine
    network: float,
    shared: float,
    lifetime: float,
    seed: int,
) -> tuple[float, npt.NDArray[np.float64]]:
    """Seconds until all is done, and machine seconds by stage."""
    np.random.seed(seed)
    count = len(compute)
    phase, left = np.full(count, -1), np.zeros(count)  # -1: idle; else an index of `work`
    rate, death = np.zeros(count), np.zeros(count)
    current, spent = np.zeros((count, 8)), np.zeros(8)
    names = np.array([START, LIST, INDEX, TREES, UPLOAD])
    for i in range(count):
        death[i] = np.random.exponential(lifetime)
    now = 0.0
    while True:
        for i in range(count):
            queue = i if len(waiting) > 1 else 0
            if phase[i] < 0 and waiting[queue] > 0:
                waiting[queue] -= 1
                phase[i], left[i] = 0, work[0]
        if phase.max() < 0:
            return now, spent
        # What the bucket gives is shared evenly; who needs less leaves the rest to the others.
        reading = phase == TREES
        asked = np.where(reading, np.minimum(compute, network), 0.0)
        rate[:] = np.where(phase >= 0, np.where(reading, asked, 1.0), 0.0)
        if asked.sum() > shared:
            order, rest, others = np.argsort(asked), shared, reading.sum()
            for i in order:
                if reading[i]:
                    rate[i] = min(asked[i], rest / others)
                    rest, others = rest - rate[i], others - 1
        # The next thing that happens: a phase ends, or a machine vanishes.
        step = np.inf
        for i in range(count):
            if phase[i] >= 0:
                step = min(step, left[i] / rate[i], max(death[i] - now, 0.0))
        now += step
        for i in range(count):
            if phase[i] < 0:
                continue
            busy = rate[i] / compute[i] if reading[i] else 1.0
            current[i, names[phase[i]]] += step * busy
            current[i, NETWORK] += step * (1 - busy)
            left[i] -= step * rate[i]
            if death[i] <= now:  # the shard goes back to the queue
                spent[LOST] += current[i].sum()
                waiting[i if len(waiting) > 1 else 0] += 1
                phase[i], current[i] = -1, 0.0
                death[i] = now + np.random.exponential(lifetime)
            elif left[i] <= 1e-9 * work[phase[i]]:
                phase[i] += 1
                if phase[i] == len(work):
                    spent += current[i]
                    phase[i], current[i] = -1, 0.0
                else:
                    left[i] = work[phase[i]]


def simulate_training(
    steps: int,
    step: float,  # seconds of an average machine for its share
    exchange: float,  # seconds to share gradients
    start: float,  # seconds before the first step, after every stop
    checkpoint: float,  # seconds between checkpoints
    fleet: Fleet,
) -> tuple[float, float] | None:
    """Hours of a run of which all machines do each step together, and the share lost to those that vanish.

    The slowest machine sets the pace. One that vanishes ends the run, which starts again at its last checkpoint.
    None: it never ends.
    """
    rng = np.random.default_rng(fleet.seed)
    pace = step / fleet.speeds(rng).min() + exchange
    left, total, whole = steps * pace, 0.0, steps * pace + start
    for _ in range(MOST_DEATHS):
        lives = float(rng.exponential(fleet.lifetime / fleet.count))
        if lives >= start + left:
            total += start + left
            return total / 3600, 1 - whole / total
        total += lives
        left -= max(lives - start, 0.0) // checkpoint * checkpoint
    return None
