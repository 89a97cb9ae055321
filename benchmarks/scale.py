"""From measured stage times to 1, 100 and 10,000 million images: hours, bytes, cost, and what breaks first.

    clickgrain bench PHOTOS --out bench.json
    python -m benchmarks.scale bench.json --machines 64 --cores 16 --price 0.60

Extrapolates `propose` and `train` from the processor time of each stage, and simulates both
(`benchmarks/scale_simulation.py`): machines of uneven speed start, list, read over a shared network, and vanish.
Hours of the simulation include all that; those of the extrapolation do not. What is not measured is an assumption
with a flag.
"""

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmarks.scale_simulation import STAGES, Fleet, Machine, simulate, simulate_training
from clickgrain.commands.bench import PROPOSING
from clickgrain.images import ImageFile
from clickgrain.proposals.store import ProposalMeta, Source

MILLIONS = (1, 100, 10_000)
TREE_BYTES = 18_500  # of 3,000 leaves in a store; docs/scale.md
LISTED = 10_000  # names a second from an object store: pages of 1,000, ten a second, one after the other
PAGE, BLOCK = 1_000, 4e6  # names of one request; bytes of one for the list of a tar (`images/sources.py`)


@dataclass(frozen=True)
class ScaleArgs:
    """What to extrapolate to.

    Attributes:
        bench: file that `clickgrain bench --out` wrote.
        machines: that work at once.
        cores: of each.
        price: of a machine for an hour, in any currency.
        image_kb: of an encoded image.
        per_tar: images of a tar; 0: single files.
        megabytes: a second and machine from the store of the images.
        requests: a second that a part of the bucket's names answers.
        prefixes: such parts over which the images are spread.
        shard: images of a shard, each a store.
        start: seconds of a process before its first image.
        lifetime: hours after which a machine vanishes on average (spot machines); another takes its place.
        uneven: standard deviation of the machines' speed, as a share.
        get_price: of a million requests to read.
        list_price: of a million requests to list or to write.
        month_price: of 1 TB for a month.
        choice: millions of images that one training run takes at most.
        passes: crops of each of them.
        crops: of a machine in a training step.
        gradient_mb: that a machine sends in a training step.
        checkpoint: seconds between checkpoints.
        seed: of the simulation.
    """

    bench: Annotated[Path, tyro.conf.Positional]
    machines: int = 64
    cores: int = 16
    price: float = 0.60
    image_kb: float = 200.0
    per_tar: int = 1000
    megabytes: float = 200.0
    requests: float = 5500.0
    prefixes: int = 16
    shard: int = 100_000
    start: float = 15.0
    lifetime: float = 24.0
    uneven: float = 0.1
    get_price: float = 0.40
    list_price: float = 5.0
    month_price: float = 23.0
    choice: float = 1.0
    passes: float = 10.0
    crops: int = 8
    gradient_mb: float = 2.0
    checkpoint: float = 120.0
    seed: int = 0

    @property
    def fleet(self) -> Fleet:
        """The machines of the simulation."""
        return Fleet(self.machines, self.uneven, self.lifetime * 3600, self.seed)

    def names(self, images: float) -> float:
        """What a listing of so many images holds."""
        return images / (self.per_tar or 1)


def core_seconds(bench: dict[str, Any], names: tuple[str, ...] = PROPOSING) -> float:
    """Processor seconds of some stages for one image, by default those of `propose`."""
    return sum(s["seconds"] * s["cores"] / s["images"] for s in bench["stages"] if s["name"] in names)


def device_seconds(bench: dict[str, Any], names: tuple[str, ...] = PROPOSING) -> float:
    """Seconds for one image of the stage that keeps a GPU busiest; 0 without one."""
    gpu = bench.get("device", "cpu")
    times = (s["seconds"] / s["images"] for s in bench["stages"] if s["name"] in names and s["limit"] == gpu)
    return max(times, default=0.0) if gpu != "cpu" else 0.0


def machine_of(args: ScaleArgs, bench: dict[str, Any]) -> Machine:
    """What one machine does with images, by its cores, its GPU and its network."""
    rate = args.cores / core_seconds(bench)
    if seconds := device_seconds(bench):
        rate = min(rate, 1 / seconds)
    network = 1000 * args.megabytes / args.image_kb
    # The list of a tar costs about one download of it.
    indexed = network if args.per_tar else float("inf")
    upload = TREE_BYTES / (1e6 * args.megabytes)
    return Machine(args.start, rate, network, args.requests * args.prefixes, indexed, upload)


def prices(images: float, args: ScaleArgs) -> tuple[float, float]:
    """Of all requests of `propose`, and of what lies there for a month."""
    stored = images * (args.image_kb / 1e9 + TREE_BYTES / 1e12)
    reads = images + (images * args.image_kb * 1e3 / BLOCK if args.per_tar else 0)
    shards = max(1.0, images / args.shard)
    lists = shards * args.names(images) / PAGE + shards  # every shard's process lists the names; a store is written
    return (reads * args.get_price + lists * args.list_price) / 1e6, stored * args.month_price


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


def limits(million: float, args: ScaleArgs, machine: Machine) -> list[str]:
    """What is in the way of so many images, worst first."""
    images = million * 1e6
    listed = images * bytes_each(a_file) / 1e9
    trained = listed + images * bytes_each(a_meta) / 1e9
    listing, reading = images / LISTED / 3600, images / machine.network / 3600
    asked, shards = args.machines * min(machine.compute, machine.network), images / args.shard
    found = [
        (listed, 16, f"the list of one run takes {listed:,.0f} GB of memory"),
        (listing, 3, f"listing single files takes {listing:,.0f} hours, in every process"),
        (trained, 16, f"one training run over all takes {trained:,.0f} GB for its list alone"),
        (reading, 3, f"every process of a training run reads all images at its start, {reading:,.0f} hours"),
        (shards, 10_000, f"{shards:,.0f} stores in one folder are opened one by one"),
        (
            asked if shards >= args.machines else 0,
            args.requests * args.prefixes,
            f"{asked:,.0f} requests a second need {asked / args.requests:,.0f} prefixes",
        ),
    ]
    return [text for have, limit, text in sorted(found, key=lambda one: -one[0] / one[1]) if have > limit]


def show_propose(args: ScaleArgs, machine: Machine) -> None:
    """Hours, cost and bytes of `propose`, and where the machines' time goes."""
    print(
        "millions | hours | simulated | equal parts | machine hours | machines cost | requests cost | images TB |"
        " stores TB | storage a month | stores"
    )
    shares = []
    for million in MILLIONS:
        images = million * 1e6
        hours = images / min(machine.compute, machine.network) / args.machines / 3600
        shards = max(1, round(images / args.shard))
        listing = args.names(images) / LISTED
        taken = simulate(images, shards, listing, machine, args.fleet)
        parts = simulate(images, shards, listing, machine, args.fleet, queue=False)
        paid, (asked, month) = taken.hours * args.machines, prices(images, args)
        print(
            f"{million:,} | {hours:,.3f} | {taken.hours:,.3f} | {parts.hours:,.3f} | {paid:,.1f} |"
            f" {paid * args.price:,.1f} | {asked:,.1f} | {images * args.image_kb / 1e9:,.1f} |"
            f" {images * TREE_BYTES / 1e12:,.2f} | {month:,.0f} | {shards:,}"
        )
        shares.append(f"{million:,} | " + " | ".join(f"{taken.shares[name]:.1%}" for name in STAGES))
    print("\nmillions | " + " | ".join(STAGES) + "   (shares of the machines' time, simulated)")
    print("\n".join(shares))


def show_training(args: ScaleArgs, bench: dict[str, Any], machine: Machine) -> None:
    """Hours of one run on a choice of the images, and of as many crops as there are images."""
    names = ("training step",)
    each = max(core_seconds(bench, names) / args.cores, device_seconds(bench, names))
    exchange = 2 * args.gradient_mb / args.megabytes
    step = args.crops * each
    batch = args.crops * args.machines
    start = 1e6 * args.choice / machine.network
    steps = max(1, round(1e6 * args.choice * args.passes / batch))
    print(
        f"\ntraining: {1000 * each:.1f} ms a crop and machine, {exchange * 1000:.0f} ms a step to share gradients;"
        f" {steps:,} steps of {batch} crops; {start / 3600:.2f} hours to read {args.choice:g} million images first"
    )
    print("machines | hours | simulated | lost to vanished machines | machine hours | machines cost")
    for count in dict.fromkeys((1, max(1, args.machines // 8), args.machines)):
        alone = steps * batch / (args.crops * count)
        hours = (start + alone * (step + (exchange if count > 1 else 0))) / 3600
        fleet = Fleet(count, args.uneven, args.lifetime * 3600, args.seed)
        took = simulate_training(
            round(alone), step, exchange if count > 1 else 0.0, start + args.start, args.checkpoint, fleet
        )
        if took is None:
            print(f"{count} | {hours:,.2f} | never: a machine vanishes before all have read the images | | |")
            continue
        total, lost = took
        paid = total * count
        print(f"{count} | {hours:,.2f} | {total:,.2f} | {lost:.0%} | {paid:,.0f} | {paid * args.price:,.0f}")


def main(args: ScaleArgs) -> None:
    """Print the tables."""
    bench = json.loads(args.bench.read_text())
    machine = machine_of(args, bench)
    seconds, rate = core_seconds(bench), min(machine.compute, machine.network)
    network = " (its network limits)" if machine.network < machine.compute else ""
    print(f"{1000 * seconds:.1f} ms of a core for an image; {args.cores} cores: {rate:.0f} a second{network}")
    kind = f"tars of {args.per_tar}" if args.per_tar else "single files"
    print(f"{args.machines} machines at {args.price:g} an hour, {kind}, shards of {args.shard} images\n")
    show_propose(args, machine)
    show_training(args, bench, machine)
    print()
    for million in MILLIONS:
        print(f"{million:,} million: " + ("; ".join(limits(million, args, machine)) or "nothing is in the way"))


if __name__ == "__main__":
    main(tyro.cli(ScaleArgs))
