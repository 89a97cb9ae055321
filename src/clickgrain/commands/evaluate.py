"""`clickgrain evaluate`: the click benchmark, models against data sets."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from clickgrain.commands.options import check_limit, file_name, parse_data, save_json
from clickgrain.errors import ClickgrainError, ConfigError, DataError
from clickgrain.evaluation.config import EvaluationSettings, UserName

if TYPE_CHECKING:
    from clickgrain.clicks.robot import User
    from clickgrain.evaluation.datasets import Benchmark
    from clickgrain.evaluation.methods import Method
    from clickgrain.evaluation.result import Result
    from clickgrain.types import Predictor


@dataclass(frozen=True)
class EvaluateArgs:
    """Count the clicks that models need until their masks are right.

    Prints one line a pair: MODEL NAME NoC85 NoC90, then more figures as name=value.

    Attributes:
        model: "tree", "default", a model folder, a Hugging Face id, a baseline such as "opencv-grabcut" or
            "graph-cut", python:MODULE:FACTORY or onnx:FILE. Repeat the flag for more.
        data: a name and a folder, e.g. mine=photos/eval; "grabcut" is read as published, any other name as
            images/<id>.* with masks/<id>#<k>.png. Repeat the flag for more.
        extractor: whose features make the merge trees.
        cut: guard and cut follow our models; --no-cut judges what the network says.
        device: torch device, e.g. cpu or cuda.
        user: who clicks; the published figures have the robot.
        user_seed: of the noisy user, the jitter of the box (0: exact) and the strokes.
        limit: only the first so many targets of each set.
        processes: share the images out to so many processes; 0 or 1: none but this one. On the CPU only.
        out: folder for the results: one .jsonl and one .json a pair, and report.html.
        resume: take over the targets that are in the .jsonl files of --out.
        settings: of the click protocol.
    """

    model: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="M")]
    data: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=DIR")]
    extractor: Annotated[
        str | None, tyro.conf.arg(metavar="E", help_behavior_hint="(default: what the model was trained with)")
    ] = None
    cut: bool = True
    device: str = "cpu"
    user: UserName = "robot"
    user_seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    limit: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")] = None
    processes: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: nothing is kept)")] = (
        None
    )
    resume: bool = True
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)

    def __post_init__(self) -> None:
        _check_list("--model", self.model, self.model, "tree")
        _check_list("--data", self.data, [parse_data(text)[0] for text in self.data], "mine=photos/eval")
        check_limit(self.limit)
        if self.processes < 0:
            raise ConfigError(f"--processes {self.processes} is negative; 0 and 1 stay in one process")
        if self.processes > 1 and not self.device.startswith("cpu"):
            raise ConfigError(
                f"--processes {self.processes} works on --device cpu only, not {self.device}; leave one of them out"
            )


def _check_list(flag: str, given: Sequence[str], names: Sequence[str], example: str) -> None:
    if not given:
        raise ConfigError(f"{flag} is missing; give e.g. {flag} {example}")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"{flag} names {twice[0]!r} twice; give every name once")


def evaluate(args: EvaluateArgs) -> None:
    """Every model on every data set; results on stdout as they come, remarks on stderr at the end.

    Raises:
        DataError: at the end, when some pair could not be evaluated.
    """
    from clickgrain.clicks.users import make_user
    from clickgrain.commands.predictors import check_device
    from clickgrain.evaluation import Method, load_benchmark

    device = check_device(args.device)
    user = make_user(args.user, args.user_seed)
    # Wrong names are found before the first hour is spent.
    benchmarks = [load_benchmark(*parse_data(text)) for text in args.data]
    methods = {
        method.identity: method
        for method in (Method(name, device, args.extractor, args.cut) for name in args.model)
    }
    results: list[Result] = []
    failures: list[str] = []
    for identity, method in methods.items():
        try:
            predictor = method if args.processes > 1 else method()  # other processes make their own
        except ClickgrainError as error:
            failures.append(f"{method.name}: {error}")
            continue
        for benchmark in benchmarks:
            try:
                result = _click(args, method.name, identity, predictor, benchmark, user)
                print(result.line(model=method.name), flush=True)
                results.append(result)
            except ClickgrainError as error:
                failures.append(f"{method.name} on {benchmark.name}: {error}")
    _say(results)
    _compare(args, results, {identity: method.name for identity, method in methods.items()})
    if args.out is not None and results:
        failures += _report(args, args.out, results, benchmarks, methods)
    if failures:
        raise DataError("\n".join(["not evaluated:", *failures]))


def _click(
    args: EvaluateArgs,
    name: str,
    identity: str,
    predictor: "Predictor | Method",
    benchmark: "Benchmark",
    user: "User",
) -> "Result":
    """One model on one data set; its files are called by both, and by a user other than the robot."""
    from clickgrain.commands.console import bar
    from clickgrain.evaluation.protocol import evaluate as click

    files = None
    if args.out is not None:
        suffix = "" if user.name == "robot" else f"--{user.name}"
        files = args.out / f"{file_name(identity)}--{file_name(benchmark.name)}{suffix}"
    with bar(f"{name} on {benchmark.name}") as progress:
        result = click(
            predictor,
            benchmark,
            model=identity,
            **args.settings.to_dict(),
            user=user,
            targets=args.limit,
            processes=args.processes,
            progress=progress,
            jsonl=files and files.with_name(f"{files.name}.jsonl"),
            resume=args.resume,
        )
    if files is not None:
        save_json(files.with_name(f"{files.name}.json"), result.to_json())
    return result


def _say(results: "Sequence[Result]") -> None:
    """Tables on a terminal, and what must be said beside the figures."""
    from clickgrain.commands.console import say, say_all, stderr
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
            say_all(remarks((), (), [f"target {row.id}: {row.error}" for row in result.failed]))


def _compare(args: EvaluateArgs, results: "Sequence[Result]", names: Mapping[str, str]) -> None:
    """Every model against the first one on the same targets, a line each, and as JSON."""
    from clickgrain.commands.console import say
    from clickgrain.evaluation.differences import to_the_first

    compared = []
    for result, first, found in to_the_first(results):
        pair = {"benchmark": result.benchmark, "model": names[result.model], "minus": names[first.model]}
        compared.append({**pair, **{name: asdict(difference) for name, difference in found.items()}})
        figures = ", ".join(f"{name} {difference}" for name, difference in found.items())
        say("{model} minus {minus} on {benchmark}: ".format(**pair) + figures)
    if compared and args.out is not None:
        save_json(args.out / "differences.json", json.dumps(compared, indent=1))


def _report(
    args: EvaluateArgs,
    out: Path,
    results: "Sequence[Result]",
    benchmarks: "Sequence[Benchmark]",
    methods: "Mapping[str, Method]",
) -> list[str]:
    """Write `report.html`; returns why not."""
    from clickgrain.commands.console import say
    from clickgrain.evaluation.report import write_report

    try:
        path = write_report(
            results,
            {benchmark.name: benchmark.select(args.limit) for benchmark in benchmarks},
            out / "report.html",
            commands=[command_line(args)],
            labels={identity: method.name for identity, method in methods.items()},
            loaders=methods,
        )
    except ClickgrainError as error:  # the figures are there
        return [f"the report: {error}"]
    say(f"report: {path}")
    return []


def command_line(args: EvaluateArgs) -> str:
    """The command that gives the same figures."""
    words = [word for name in args.model for word in ("--model", name)]
    words += [word for text in args.data for word in ("--data", text)]
    flags = {
        "--extractor": args.extractor,
        "--user": args.user if args.user != "robot" else None,
        "--user-seed": args.user_seed or None,
        "--limit": args.limit,
    }
    plain = EvaluationSettings()
    if args.settings.max_clicks != plain.max_clicks:
        flags["--max-clicks"] = args.settings.max_clicks
    if args.settings.threshold != plain.threshold:
        flags["--threshold"] = str(args.settings.threshold)
    words += [word for flag, value in flags.items() if value is not None for word in (flag, str(value))]
    words += [*([] if args.cut else ["--no-cut"]), *(["--full-curves"] if args.settings.full_curves else [])]
    return shlex.join(["clickgrain", "evaluate", *words])
