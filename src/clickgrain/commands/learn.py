"""`clickgrain propose`, `learn`, `train` and `finetune`: photos become merge trees, and a click model."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from clickgrain.errors import StoreError
from clickgrain.proposals.config import ProposeArgs, StoreArgs
from clickgrain.training.config import FinetuneArgs, LearnArgs

if TYPE_CHECKING:
    from clickgrain.training.learn import LearnResult


@dataclass(frozen=True)
class TrainCommand(LearnArgs):
    """Train a click model on photos whose merge trees `clickgrain propose` has put into a store.

    The second half of `clickgrain learn`; it needs --store.
    """


def propose(args: ProposeArgs) -> None:
    """Run the pipeline; what was made on stdout, what failed on stderr."""
    from clickgrain.commands.console import say_all, stderr
    from clickgrain.devices import choose_device
    from clickgrain.features import load_extractor
    from clickgrain.proposals.pipeline import propose as build_trees
    from clickgrain.proposals.remote_store import on_this_machine

    settings = asdict(args)
    photos, store, name = (settings.pop(key) for key in ("photos", "store", "extractor"))
    device, engine, address = (settings.pop(key) for key in ("device", "engine", "address"))
    if engine == "ray":
        from clickgrain.proposals.cluster import propose_on_ray

        # The machine that starts the run may have no GPU; workers that were given one use it.
        report = propose_on_ray(
            photos,
            store,
            load=lambda gpu: load_extractor(name, device="cuda" if gpu else "cpu"),
            address=address,
            progress=stderr().is_terminal,
            **settings,
        )
    else:
        extractor = load_extractor(name, device=choose_device(device))
        with on_this_machine(store) as path:
            report = build_trees(photos, path, extractor=extractor, progress=stderr().is_terminal, **settings)
    say_all(report.left_out)
    say_all(report.notes)
    say_all([failure.reason for failure in report.failed], style="red")
    print(report.summary().splitlines()[0])


def store(args: StoreArgs) -> None:
    """Verify or compact; counts on stdout, damage on stderr."""
    from clickgrain.commands.console import say_all
    from clickgrain.proposals.store import ProposalStore, shard_files, verify

    files = list(dict.fromkeys(file for where in args.store for file in shard_files(where)))
    if args.action == "verify":
        problems = [f"no store in {where}" for where in args.store if not shard_files(where)]
        for file in files:
            whole, faults = verify(file)
            print(f"{file}: {whole} trees whole" + (f", {len(faults)} faults" if faults else ""))
            problems += faults
        say_all(problems, style="red")
        if problems:
            raise StoreError(f"{len(problems)} faults in {len(files)} stores, listed above")
        return
    shards = ProposalStore.open(files)
    if args.out is None:
        won = shards.compact()
        print(f"{len(shards)} trees in {len(files)} stores; {won / 1e6:.1f} MB given back")
        return
    if args.out.exists():
        raise StoreError(f"{args.out} exists; give --out a new path")
    part = args.out.with_name(args.out.name + ".part")
    for end in ("", "-wal", "-shm"):  # of a run that was stopped
        part.with_name(part.name + end).unlink(missing_ok=True)
    with ProposalStore.create(part) as joined:
        joined.merge(shards)
        joined.compact()
        count = len(joined)
    part.replace(args.out)
    print(f"{args.out}: {count} trees of {len(files)} stores, {args.out.stat().st_size / 1e6:.1f} MB")


def learn(args: LearnArgs) -> None:
    """Run all stages; the model's folder on stdout, the rest on stderr."""
    from clickgrain.training.learn import learn as learn_model

    _finish(learn_model(args), "photos and composites")


def train(args: TrainCommand) -> None:
    """Run the training stage."""
    from clickgrain.training.learn import train as train_model

    _finish(train_model(args), "photos and composites")


def finetune(args: FinetuneArgs) -> None:
    """Fine-tune; the model's folder on stdout, the rest on stderr."""
    from clickgrain.training.finetune import finetune as finetune_model

    _finish(finetune_model(args), "labelled images")


def _finish(result: "LearnResult", what: str) -> None:
    """Say how training went; the folder of the model on stdout."""
    from clickgrain.commands.console import say, say_all
    from clickgrain.devices import process_number

    if process_number()[0] > 0:
        return  # the first process speaks
    say_all(result.failed, style="red")
    numbers = ", ".join(f"{name} {value:.2f}" for name, value in result.fit.metrics.items())
    say(
        f"{result.fit.steps} steps on {result.photos} {what}; {numbers or 'no validation'}; waited for data"
        f" {result.fit.waited:.1%} of the time"
    )
    if result.fit.skipped:
        say(
            f"{result.fit.skipped} of the steps were skipped because loss or gradient were not finite",
            style="yellow",
        )
    print(result.folder)
