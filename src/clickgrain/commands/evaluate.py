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
from clickgrain.evaluation.settings import EvaluationSettings, UserName

if TYPE_CHECKING:
    from clickgrain.clicks.robot import User
    from clickgrain.commands.predictors import Candidate
    from clickgrain.evaluation.datasets import Benchmark
    from clickgrain.evaluation.methods import Method
    from clickgrain.evaluation.result import Result
    from clickgrain.evaluation.rows import TargetResult
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
        device: torch device, e.g. cpu or cuda.
        user: who clicks; the published figures have the robot.
        user_seed: of the noisy user, the jitter of the box (0: exact) and the strokes.
        limit: only the first so many targets of each set.
        processes: share the images out to so many processes; 0 or 1: none but this one. On the CPU only.
        out: folder for the results: one .jsonl and one .json a pair, and report.html.
        resume: take over the targets that are in the .jsonl files of --out.
        results: folder of finished results that are taken over where method, data and settings are the same.
        reuse: whether to look there.
        settings: of the click protocol.
    """

    model: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="M")]
    data: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=DIR")]
    extractor: Annotated[
        str | None, tyro.conf.arg(metavar="E", help_behavior_hint="(default: what the model was trained with)")
    ] = None
    device: str = "cpu"
    user: UserName = "robot"
    user_seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    limit: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")] = None
    processes: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: nothing is kept)")] = (
        None
    )
    resume: bool = True
    results: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("benchmarks/results")
    reuse: bool = True
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
    from clickgrain.commands.predictors import check_device, find_predictor
    from clickgrain.evaluation.datasets import load_benchmark

    device = check_device(args.device)
    user = make_user(args.user, args.user_seed)
    # Wrong names are found before the first hour is spent.
    benchmarks = [load_benchmark(*parse_data(text)) for text in args.data]
    candidates = [find_predictor(name, device=device, extractor=args.extractor) for name in args.model]
    run = _Run(args, user, benchmarks)
    for candidate in candidates:
        run.model(candidate)
    run.finish(candidates)


class _Run:
    """What one call has found so far."""

    def __init__(self, args: EvaluateArgs, user: "User", benchmarks: "Sequence[Benchmark]") -> None:
        self._args, self._user, self._benchmarks = args, user, benchmarks
        self._results: list[Result] = []
        self._failures: list[str] = []

    def model(self, candidate: "Candidate") -> None:
        """One model on every data set; what cannot be evaluated costs nobody else."""
        try:
            # Other processes make their own.
            predictor: Predictor | Method = candidate.load if self._args.processes > 1 else candidate.load()
            code = candidate.load.code
        except ClickgrainError as error:
            self._failures.append(f"{candidate.name}: {error}")
            return
        for benchmark in self._benchmarks:
            try:
                self._pair(candidate, predictor, code, benchmark)
            except ClickgrainError as error:
                self._failures.append(f"{candidate.name} on {benchmark.name}: {error}")

    def _pair(
        self, candidate: "Candidate", predictor: "Predictor | Method", code: str, benchmark: "Benchmark"
    ) -> None:
        from clickgrain.commands.console import bar
        from clickgrain.evaluation.protocol import evaluate as click

        args = self._args
        known = self._known(candidate, code, benchmark)
        files = self._files(candidate, benchmark)
        with bar(f"{candidate.name} on {benchmark.name}") as progress:
            result = click(
                predictor,
                benchmark,
                model=candidate.identity,
                **args.settings.to_dict(),
                user=self._user,
                targets=args.limit,
                processes=args.processes,
                progress=progress,
                jsonl=files and files.with_name(f"{files.name}.jsonl"),
                resume=args.resume,
                method=code,
                known=known,
            )
        print(result.line(model=candidate.name), flush=True)
        self._results.append(result)
        if files is not None:
            save_json(files.with_name(f"{files.name}.json"), result.to_json())

    def _files(self, candidate: "Candidate", benchmark: "Benchmark") -> Path | None:
        """The pair's files without their suffix; users other than the robot have their own."""
        if self._args.out is None:
            return None
        user = "" if self._user.name == "robot" else f"--{self._user.name}"
        return self._args.out / f"{file_name(candidate.identity)}--{file_name(benchmark.name)}{user}"

    def _known(
        self, candidate: "Candidate", code: str, benchmark: "Benchmark"
    ) -> "Mapping[str, TargetResult] | None":
        """Rows of an earlier evaluation of the same method on the same data; it is said that they are reused."""
        from clickgrain.commands.console import say
        from clickgrain.evaluation.committed import find_kept
        from clickgrain.evaluation.fingerprint import data_hash
        from clickgrain.evaluation.journal import header

        if not self._args.reuse or not self._args.results.is_dir():
            return None
        settings = {**self._args.settings.to_dict(), "user": self._user.name}
        head = header(candidate.identity, benchmark.name, settings, method=code, data=data_hash(benchmark))
        kept, reason = find_kept(self._args.results, head)
        if kept:
            say(
                f"{candidate.name} on {benchmark.name}: reusing {len(kept.rows)} targets of {kept.path}, with the"
                " seconds they took then (--no-reuse evaluates anew)"
            )
        elif reason:
            say(f"{candidate.name} on {benchmark.name}: {reason}; evaluating anew", style="yellow")
        return kept.rows if kept else None

    def finish(self, candidates: "Sequence[Candidate]") -> None:
        """Say what the figures do not, and write the report."""
        from clickgrain.commands.console import say, say_all, stderr
        from clickgrain.evaluation.differences import to_the_first
        from clickgrain.evaluation.report import remarks, result_table, size_table

        labels = {candidate.identity: candidate.name for candidate in candidates}
        compared = []
        for result, first, found in to_the_first(self._results):
            pair = {"benchmark": result.benchmark, "model": labels[result.model], "minus": labels[first.model]}
            compared.append({**pair, **{name: asdict(difference) for name, difference in found.items()}})
            figures = ", ".join(f"{name} {difference}" for name, difference in found.items())
            say("{model} minus {minus} on {benchmark}: ".format(**pair) + figures)
        if compared and self._args.out is not None:
            save_json(self._args.out / "differences.json", json.dumps(compared, indent=1))
        if len(self._results) > 1 and stderr().is_terminal:
            stderr().print(result_table(self._results))
            stderr().print(size_table(self._results))
        for name in dict.fromkeys(result.benchmark for result in self._results):
            of_set = [result for result in self._results if result.benchmark == name]
            if lines := remarks(of_set[0].notes, of_set[0].skipped):
                say(f"{name}:", style="bold")
                say_all(lines)
        for result in self._results:
            if result.failed:
                say(f"{result.model} on {result.benchmark}:", style="bold")
                say_all(remarks((), (), [f"target {row.id}: {row.error}" for row in result.failed]))
        self._report(candidates, labels)
        if self._failures:
            raise DataError("\n".join(["not evaluated:", *self._failures]))

    def _report(self, candidates: "Sequence[Candidate]", labels: Mapping[str, str]) -> None:
        from clickgrain.commands.console import say
        from clickgrain.evaluation.html import write_report

        if self._args.out is None or not self._results:
            return
        try:
            path = write_report(
                self._results,
                {benchmark.name: benchmark.select(self._args.limit) for benchmark in self._benchmarks},
                self._args.out / "report.html",
                commands=[command_line(self._args)],
                labels=labels,
                loaders={candidate.identity: candidate.load for candidate in candidates},
            )
            say(f"report: {path}")
        except ClickgrainError as error:  # the figures are there
            self._failures.append(f"the report: {error}")


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
    return shlex.join(["clickgrain", "evaluate", *words, *(["--full-curves"] if args.settings.full_curves else [])])
