"""`clickgrain propose`, `learn`, `train` and `finetune`: photos become merge trees, and a click model."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from clickgrain import features
from clickgrain.commands.console import say, say_all, stderr
from clickgrain.devices import choose_device, process_number
from clickgrain.errors import StoreError
from clickgrain.proposals.config import ProposeArgs, StoreArgs
from clickgrain.training.config import FinetuneArgs, LearnArgs

if TYPE_CHECKING:
    from clickgrain.evaluation import Benchmark
    from clickgrain.training.learn import LearnResult


@dataclass(frozen=True)
class LearnCommand(LearnArgs):
    """Make a click model of your own from a folder of unlabelled photos.

    Merge trees are built, then a model is trained on clicks simulated on their regions. Stop it at any time:
    the same command continues. Afterwards give DIR to --model.
    """

    # project file of `clickgrain annotate PHOTOS` with ten or more objects: two thirds of them become targets too,
    # a third shows how many clicks that saved. The model is no longer label-free.
    annotations: Annotated[Path | None, tyro.conf.arg(metavar="clickgrain.db")] = None


@dataclass(frozen=True)
class TrainCommand(LearnArgs):
    """Train a click model on photos whose merge trees `clickgrain propose` has put into a store.

    The second half of `clickgrain learn`; it needs --store.
    """


def propose(args: ProposeArgs) -> None:
    """Run the pipeline; what was made on stdout, what failed on stderr."""
    from clickgrain.proposals.pipeline import propose as build_trees
    from clickgrain.proposals.remote_store import on_this_machine

    settings = asdict(args) | {"progress": stderr().is_terminal}
    photos, store, name = (settings.pop(key) for key in ("photos", "store", "extractor"))
    device, engine, address = (settings.pop(key) for key in ("device", "engine", "address"))
    if engine == "ray":
        from clickgrain.proposals.cluster import propose_on_ray

        def load(gpu: bool) -> features.FeatureExtractor:
            # The machine that starts the run may have no GPU; workers that were given one use it.
            return features.load_extractor(name, device="cuda" if gpu else "cpu")

        report = propose_on_ray(photos, store, load=load, address=address, **settings)
    else:
        extractor = features.load_extractor(name, device=choose_device(device))
        with on_this_machine(store) as path:
            report = build_trees(photos, path, extractor=extractor, **settings)
    say_all(report.left_out)
    say_all(report.notes)
    say_all([failure.reason for failure in report.failed], style="red")
    print(report.summary())


def store(args: StoreArgs) -> None:
    """Verify or compact; counts on stdout, damage on stderr."""
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


def learn(args: LearnCommand) -> None:
    """Run all stages; the model's folder on stdout, the rest on stderr."""
    from clickgrain.training.learn import learn as learn_model

    plain = LearnArgs(**{field.name: getattr(args, field.name) for field in fields(LearnArgs)})
    if args.annotations is None:
        _finish(learn_model(plain), "photos and composites")
        return
    from clickgrain.annotate.accepted import objects_in

    with objects_in(args.annotations, args.ignore) as objects:
        accepted = objects.split()
        result = learn_model(plain, accepted=accepted)
        _finish(result, "photos, composites and accepted objects")
        _compare(args.start, result.folder, accepted.held_out, args.device)


def train(args: TrainCommand) -> None:
    """Run the training stage."""
    from clickgrain.training.learn import train as train_model

    _finish(train_model(args), "photos and composites")


def finetune(args: FinetuneArgs) -> None:
    """Fine-tune; the model's folder on stdout, the rest on stderr."""
    from clickgrain.training.finetune import finetune as finetune_model
    from clickgrain.training.finetune import finetune_on

    if not args.photos.endswith(".db"):
        _finish(finetune_model(args), "labelled images")
        return
    from clickgrain.annotate.accepted import objects_in

    with objects_in(Path(args.photos)) as objects:
        accepted = objects.split()
        result = finetune_on(accepted.objects, args, held_out=accepted.held_out)
        _finish(result, "images with accepted objects")
        _compare(args.start, result.folder, accepted.held_out, args.device)


def _compare(start: str | None, folder: Path, held_out: "Benchmark", device: str) -> None:
    """Say how many clicks the model before and the new one need on the objects that were kept apart."""
    from clickgrain.annotate.accepted import compare, learned_from
    from clickgrain.annotate.models import choose_model, describe_model, load_segmenter

    device, before = choose_device(device), choose_model(start)[0]
    seen = learned_from(describe_model(before))
    held_out = held_out.select([id_ for id_ in held_out.ids if id_ not in seen])
    if not len(held_out):
        say(f"{before} was trained on all the objects that were kept apart: nothing is left to compare on")
        return
    report = compare(load_segmenter(before, device), load_segmenter(str(folder), device), held_out)
    ends = "" if report["interval"] is None else " (95 %: {:+.2f} to {:+.2f})".format(*report["interval"])
    say(
        f"clicks to an IoU of 0.9 on {report['objects']} objects in {report['images']} images that it was not"
        f" trained on: {before} {report['old_clicks']:.2f}, the new model {report['new_clicks']:.2f},"
        f" {report['difference']:+.2f}{ends}"
    )


def _finish(result: "LearnResult", what: str) -> None:
    """Say how training went; the folder of the model on stdout."""
    if process_number()[0] > 0:
        return  # the first process speaks
    say_all(result.failed, style="red")
    numbers = ", ".join(f"{name} {value:.2f}" for name, value in result.fit.metrics.items())
    say(
        f"{result.fit.steps} steps on {result.photos} {what}; {numbers or 'no validation'}; waited for data"
        f" {result.fit.waited:.1%} of the time"
    )
    if result.fit.skipped:
        say(f"{result.fit.skipped} steps were skipped: loss or gradient were not finite", style="yellow")
    print(result.folder)
