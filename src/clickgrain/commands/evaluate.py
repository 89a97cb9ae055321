"""`clickgrain evaluate`, the click benchmark, and `clickgrain evaluate-tree`, which needs no training."""

import json
import shlex
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from clickgrain import evaluation, features
from clickgrain.commands.console import bar, say, say_all, stderr
from clickgrain.commands.parsing import ModelExtractor, check_limit, file_name, parse_data, save_json
from clickgrain.devices import choose_device
from clickgrain.errors import ClickgrainError, ConfigError, DataError
from clickgrain.evaluation.config import EvaluationSettings, UserName, check_processes

if TYPE_CHECKING:
    from clickgrain.tree import MergeTree
    from clickgrain.types import UInt8

_Limit = Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")]
_NOT_KEPT = "(default: nothing is kept)"


@dataclass(frozen=True)
class EvaluateArgs:
    """Count the clicks that models need until their masks are right.

    Prints one line per pair: MODEL NAME NoC85 NoC90, then more figures as name=value.
    """

    # "tree", "default", a model folder, a Hugging Face id, a baseline such as "opencv-grabcut" or "graph-cut",
    # python:MODULE:FACTORY, onnx:FILE or onnx:ENCODER,DECODER. Repeat the flag for more.
    model: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="M")]
    # a name and a folder, e.g. mine=photos/eval; "grabcut" is read as published, any other name as images/<id>.*
    # with masks/<id>#<k>.png. Repeat the flag for more.
    data: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=DIR")]
    # whose features make the merge trees.
    extractor: ModelExtractor = None
    cut: bool = True  # discriminant, guard and cut follow our models; --no-cut evaluates the network's own masks.
    device: str = "cpu"  # torch device, e.g. cpu or cuda; auto takes a GPU if there is one.
    user: UserName = "robot"  # who clicks; the published figures have the robot.
    # of the noisy user, the jitter of the box (0: exact) and the strokes.
    user_seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    limit: _Limit = None  # only the first N targets of each set.
    # evaluate images in N processes at once; 0 or 1: in this one. On the CPU only.
    processes: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    # folder for the results: one .jsonl and one .json per pair, and report.html.
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint=_NOT_KEPT)] = None
    resume: bool = True  # reuse the targets that are in the .jsonl files of --out.
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)  # of the click protocol.

    def __post_init__(self) -> None:
        names = [parse_data(text)[0] for text in self.data]
        for flag, given, example in (("--model", self.model, "tree"), ("--data", names, "mine=photos/eval")):
            if not given:
                raise ConfigError(f"{flag} is missing; give e.g. {flag} {example}")
            name, count = Counter(given).most_common(1)[0]
            if count > 1:
                raise ConfigError(f"{flag} names {name!r} twice; give every name once")
        check_limit(self.limit)
        check_processes(self.processes, self.device)


@dataclass(frozen=True)
class EvaluateTreeArgs:
    """Measure how well the regions of merge trees match known objects, without training anything.

    Prints a table by object size: the IoU of the best node, its recall at .5, .7 and .9, and AR@k, the recall of
    the tree cut into k regions.
    """

    # "default", "color-texture", a Hugging Face id or a local folder.
    extractor: Annotated[str, tyro.conf.arg(metavar="E")]
    data: Annotated[str, tyro.conf.arg(metavar="NAME=DIR")]  # a name and a folder, as in `clickgrain evaluate`.
    # "ward" merges the features as everywhere; "edges" takes only their grid, and merges by the image's
    # edges (`clickgrain.tree.edge_tree`).
    linkage: Literal["ward", "edges"] = "ward"
    device: str = "cpu"  # torch device of the extractor, e.g. cpu or cuda; auto takes a GPU if there is one.
    # the numbers of regions k.
    cuts: Annotated[tuple[int, ...], tyro.conf.arg(metavar="K [K ...]")] = (10, 30, 100, 300)
    limit: _Limit = None  # only the first N targets.
    # JSON file for the figures, one row per target.
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint=_NOT_KEPT)] = None

    def __post_init__(self) -> None:
        parse_data(self.data)
        check_limit(self.limit)
        if not self.cuts or min(self.cuts) < 1:
            raise ConfigError(f"--cuts {list(self.cuts)} must be numbers of regions, such as 10 30 100")


def evaluate(args: EvaluateArgs) -> None:
    """Every model on every data set, a line on stdout each; at the end remarks, and DataError if a pair failed."""
    from clickgrain.clicks.users import make_user
    from clickgrain.evaluation.report import write_report

    device = choose_device(args.device)
    user = make_user(args.user, args.user_seed)
    settings = asdict(args.settings) | {"user": user, "targets": args.limit}
    settings |= {"processes": args.processes, "resume": args.resume}
    # Wrong names are found before the first hour is spent.
    benchmarks = [evaluation.load_benchmark(*parse_data(text)) for text in args.data]
    listed = [evaluation.Method(name, device, args.extractor, args.cut) for name in args.model]
    methods = {method.identity: method for method in listed}
    results, failures = list[evaluation.Result](), list[str]()
    for identity, method in methods.items():
        try:
            predictor = method if args.processes > 1 else method()  # other processes make their own
        except ClickgrainError as error:
            failures.append(f"{method.name}: {error}")
            continue
        for benchmark in benchmarks:
            parts = [identity, benchmark.name, *([] if user.name == "robot" else [user.name])]
            files = args.out and args.out / "--".join(map(file_name, parts))
            try:
                rows = files and files.with_name(f"{files.name}.jsonl")
                with bar(f"{method.name} on {benchmark.name}") as progress:
                    run = {**settings, "model": identity, "progress": progress, "jsonl": rows}
                    result = evaluation.evaluate(predictor, benchmark, **run)
                if files is not None:
                    save_json(files.with_name(f"{files.name}.json"), result.to_json())
            except ClickgrainError as error:
                failures.append(f"{method.name} on {benchmark.name}: {error}")
                continue
            print(result.line(model=method.name), flush=True)
            results.append(result)
    names = {identity: method.name for identity, method in methods.items()}
    _say(args, results, names)
    if args.out is not None and results:
        chosen = {benchmark.name: benchmark.select(args.limit) for benchmark in benchmarks}
        page, commands = args.out / "report.html", [command_line(args)]
        try:
            path = write_report(results, chosen, page, commands=commands, labels=names, loaders=methods)
            say(f"report: {path}")
        except ClickgrainError as error:  # the figures are there
            failures.append(f"the report: {error}")
    if failures:
        raise DataError("\n".join(["not evaluated:", *failures]))


def _say(args: EvaluateArgs, results: "list[evaluation.Result]", names: dict[str, str]) -> None:
    """Tables on a terminal, remarks, and every model against the first on the same targets (also as JSON)."""
    from clickgrain.evaluation.result import differences_to_first
    from clickgrain.evaluation.tables import remarks, result_table, size_table

    if len(results) > 1 and stderr().is_terminal:
        stderr().print(result_table(results))
        stderr().print(size_table(results))
    for name, result in {result.benchmark: result for result in reversed(results)}.items():
        if lines := remarks(result.notes, result.skipped):
            say(f"{name}:", style="bold")
            say_all(lines)
    for result in results:
        if result.failed:
            say(f"{result.model} on {result.benchmark}:", style="bold")
            say_all([f"counted as never reached: target {row.id}: {row.error}" for row in result.failed])
    compared = []
    for result, first, found in differences_to_first(results):
        pair = {"benchmark": result.benchmark, "model": names[result.model], "minus": names[first.model]}
        compared.append({**pair, **{name: asdict(difference) for name, difference in found.items()}})
        figures = ", ".join(f"{name} {difference}" for name, difference in found.items())
        say("{model} minus {minus} on {benchmark}: ".format(**pair) + figures)
    if compared and args.out is not None:
        save_json(args.out / "differences.json", json.dumps(compared, indent=1))


def command_line(args: EvaluateArgs) -> str:
    """The command that gives the same figures."""
    words = [word for name in args.model for word in ("--model", name)]
    words += [word for text in args.data for word in ("--data", text)]
    usual = EvaluateArgs(args.model, args.data)
    for given, default, names in (
        (args, usual, "extractor user user_seed limit"),
        (args.settings, usual.settings, "max_clicks threshold"),
    ):
        for name in names.split():
            if (value := getattr(given, name)) != getattr(default, name):
                words += [f"--{name.replace('_', '-')}", str(value)]
    words += [*([] if args.cut else ["--no-cut"]), *(["--full-curves"] if args.settings.full_curves else [])]
    return shlex.join(["clickgrain", "evaluate", *words])


def evaluate_tree(args: EvaluateTreeArgs) -> None:
    """Build the trees and print the table; remarks on stderr."""
    from rich.console import Console

    from clickgrain.evaluation.tables import remarks
    from clickgrain.tree import edge_tree

    extractor = features.load_extractor(args.extractor, device=choose_device(args.device))
    benchmark = evaluation.load_benchmark(*parse_data(args.data))

    def edges(image: "UInt8") -> "MergeTree":  # its name stands in the table
        return edge_tree(image, extractor(image).shape[:2])

    build = edges if args.linkage == "edges" else extractor
    with bar(f"{args.extractor} on {benchmark.name}") as progress:
        quality = evaluation.evaluate_trees(build, benchmark, cuts=args.cuts, targets=args.limit, progress=progress)
    Console().print(evaluation.tree_table(quality))
    say_all(remarks(quality.notes, quality.skipped))
    if args.out is not None:
        save_json(args.out, quality.to_json())
