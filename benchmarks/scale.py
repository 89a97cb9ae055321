"""From measured stage times to 1, 100 and 10,000 million images: hours, bytes, cost, and what breaks first.

    clickgrain bench PHOTOS --out bench.json
    python -m benchmarks.scale bench.json --machines 64 --cores 16 --price 0.60

Extrapolates `propose` from the processor time of each stage, and simulates it event by event: machines of uneven
speed take shards from a queue (or get an equal part each), lose the shard that they work on when they vanish, and
wait for the network. Hours of the simulation include all that; those of the extrapolation do not.
"""

import heapq
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from clickgrain.commands.bench import PROPOSING
from clickgrain.images import ImageFile
from clickgrain.proposals.store import ProposalMeta, Source

MILLIONS = (1, 100, 10_000)
TREE_BYTES = 18_500  # of 3,000 leaves in a store; docs/scale.md
LISTED = 10_000  # names a second from an object store: pages of 1,000, ten a second, one after the other


@dataclass(frozen=True)
class ScaleArgs:
    """What to extrapolate to.

    Attributes:
        bench: file that `clickgrain bench --out` wrote.
        machines: that work at once.
        cores: of each.
        price: of a machine for an hour, in any currency.
        image_kb: of an encoded image.
        megabytes: a second and machine from the store of the images.
        shard: images of a shard.
        lifetime: hours after which a machine vanishes on average (spot machines); another takes its place.
        uneven: standard deviation of the machines' speed, as a share.
        seed: of the simulation.
    """

    bench: Annotated[Path, tyro.conf.Positional]
    machines: int = 64
    cores: int = 16
    price: float = 0.60
    image_kb: float = 200.0
    megabytes: float = 200.0
    shard: int = 100_000
    lifetime: float = 24.0
    uneven: float = 0.1
    seed: int = 0


def core_seconds(bench: dict[str, Any]) -> float:
    """Processor seconds of `propose` for one image."""
    return sum(s["seconds"] * s["cores"] / s["images"] for s in bench["stages"] if s["name"] in PROPOSING)


def rate_of(args: ScaleArgs, seconds: float) -> float:
    """Images a second of one machine: by its cores, or by its network."""
    return min(args.cores / seconds, 1000 * args.megabytes / args.image_kb)


def simulate(images: float, rate: float, args: ScaleArgs, *, queue: bool = True) -> tuple[float, float]:
    """Hours until the last shard is done, and the share of the machines' time that was of use.

    Args:
        images: in all.
        rate: images a second of an average machine.
        args: shard, machines, lifetime, uneven, seed.
        queue: machines take the next shard when they are free; else each has an equal part from the beginning.
    """
    rng = np.random.default_rng(args.seed)
    shards = max(1, round(images / args.shard))
    speed = rate * np.clip(rng.normal(1, args.uneven, args.machines), 0.2, None)
    left = [shards] if queue else [len(part) for part in np.array_split(np.arange(shards), args.machines)]
    hours = images / shards / speed / 3600  # a shard takes on each machine
    death = rng.exponential(args.lifetime, args.machines)
    free = [(0.0, i) for i in range(args.machines)]
    heapq.heapify(free)
    end = useful = 0.0
    while free:
        now, i = heapq.heappop(free)
        waiting = 0 if queue else i
        if left[waiting] == 0:
            continue
        left[waiting] -= 1
        done = now + hours[i]
        if done > death[i]:  # the shard goes back, and a new machine begins
            left[waiting] += 1
            heapq.heappush(free, (float(death[i]), i))
            death[i] += rng.exponential(args.lifetime)
            continue
        useful, end = useful + hours[i], max(end, done)
        heapq.heappush(free, (done, i))
    return end, useful / (end * args.machines)


def bytes_each(make: Callable[[int], object], count: int = 10_000) -> float:
    """Memory that one object takes."""
    tracemalloc.start()
    kept = [make(i) for i in range(count)]
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return size / len(kept)


def a_file(i: int) -> ImageFile:
    """As an s3:// listing gives it."""
    return ImageFile(
        f"album-{i // 1000:06}/{i:010}.jpg", f"s3://bucket/photos/album-{i // 1000:06}/{i:010}.jpg", (i, i)
    )


def a_meta(i: int) -> ProposalMeta:
    """As a store gives it to training."""
    source = Source(f"{i:020}", 200_000 + i, 10**18 + i)
    return ProposalMeta(
        f"album-{i // 1000:06}/{i:010}.jpg", source, (1024, 768), "color-texture", "x" * 20, (64, 48)
    )


def limits(million: float, args: ScaleArgs) -> list[str]:
    """What is in the way of so many images, worst first."""
    images = million * 1e6
    listed = images * bytes_each(a_file) / 1e9
    trained = listed + images * bytes_each(a_meta) / 1e9
    found = [
        (listed, 16, f"the list of one run takes {listed:,.0f} GB of memory"),
        (images / LISTED / 3600, 3, f"listing single files takes {images / LISTED / 3600:,.0f} hours"),
        (trained, 16, f"one training run over all takes {trained:,.0f} GB for its list alone"),
        (images / args.shard, 10_000, f"{images / args.shard:,.0f} stores in one folder are opened one by one"),
    ]
    return [text for have, limit, text in sorted(found, key=lambda one: -one[0] / one[1]) if have > limit]


def main(args: ScaleArgs) -> None:
    """Print the tables."""
    bench = json.loads(args.bench.read_text())
    seconds = core_seconds(bench)
    rate = rate_of(args, seconds)
    network = " (its network limits)" if rate < args.cores / seconds else ""
    print(f"{1000 * seconds:.1f} ms of a core for an image; {args.cores} cores: {rate:.0f} a second{network}")
    print(f"{args.machines} machines at {args.price:g} an hour, shards of {args.shard} images")
    print(
        "millions | hours | hours simulated | in use | equal parts | machine hours | cost | images TB | stores TB"
    )
    for million in MILLIONS:
        images = million * 1e6
        hours = images / rate / args.machines / 3600
        simulated, useful = simulate(images, rate, args)
        parts, _ = simulate(images, rate, args, queue=False)
        paid = simulated * args.machines
        print(
            f"{million:,} | {hours:,.3f} | {simulated:,.3f} | {useful:.0%} | {parts:,.3f} | {paid:,.1f} |"
            f" {paid * args.price:,.1f} | {images * args.image_kb / 1e9:,.1f} | {images * TREE_BYTES / 1e12:,.2f}"
        )
    for million in MILLIONS:
        print(f"{million:,} million: " + ("; ".join(limits(million, args)) or "nothing is in the way"))


if __name__ == "__main__":
    main(tyro.cli(ScaleArgs))
