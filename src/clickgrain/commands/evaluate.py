"""`clickgrain evaluate`: the click benchmark, models against data sets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from clickgrain.commands.options import check_limit, file_name, parse_data, save_json
from clickgrain.errors import ClickgrainError, ConfigError, DataError
from clickgrain.evaluation.settings import EvaluationSettings

if TYPE_CHECKING:
    from clickgrain.commands.predictors import Candidate
    from clickgrain.evaluation.datasets import Benchmark
    from clickgrain.evaluation.result import Result
    from clickgrain.types import Predictor


@dataclass(frozen=True)
class EvaluateArgs:
    """Count the clicks that models need until their masks are right.

    Prints one line a pair: MODEL NAME NoC85 NoC90, then more figures as name=value.

    Attributes:
        model: "tree", "default", a model folder, a Hugging Face id, a baseline such as "opencv-grabcut" or
            "graph-cut", or python:MODULE:FACTORY. Repeat the flag for more.
        data: a name and a folder, e.g. mine=photos/eval; "grabcut" is read as published, any other name as
            images/<id>.* with masks/<id>#<k>.png. Repeat the flag for more.
        extractor: whose features make the merge trees.
        device: torch device, e.g. cpu or cuda.
        limit: only the first so many targets of each set.
        out: folder for the results: one .jsonl and one .json a pair.
        resume: take over the targets that are in the .jsonl files of --out.
        settings: of the click protocol.
    """

    model: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="M")]
    data: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=DIR")]
    extractor: Annotated[
        str | None, tyro.conf.arg(metavar="E", help_behavior_hint="(default: what the model was trained with)")
    ] = None
    device: str = "cpu"
    limit: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")] = None
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: nothing is kept)")] = (
        None
    )
    resume: bool = True
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)

    def __post_init__(self) -> None:
        _check_list("--model", self.model, self.model, "tree")
        _check_list("--data", self.data, [parse_data(text)[0] for text in self.data], "mine=photos/eval")
        check_limit(self.limit)


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
    from clickgrain.commands.predictors import check_device, find_predictor
    from clickgrain.evaluation.datasets import load_benchmark

    device = check_device(args.device)
    # Wrong names are found before the first hour is spent.
    benchmarks = [load_benchmark(*parse_data(text)) for text in args.data]
    candidates = [find_predictor(name, device=device, extractor=args.extractor) for name in args.model]
    run = _Run(args)
    for candidate in candidates:
        run.model(candidate, benchmarks)
    run.finish()


class _Run:
    """What one call has found so far."""

    def __init__(self, args: EvaluateArgs) -> None:
        self._args = args
        self._results: list[Result] = []
        self._failures: list[str] = []

    def model(self, candidate: "Candidate", benchmarks: "Iterable[Benchmark]") -> None:
        """One model on every data set; what cannot be evaluated costs nobody else."""
        try:
            predictor = candidate.load()
        except ClickgrainError as error:
            self._failures.append(f"{candidate.name}: {error}")
            return
        for benchmark in benchmarks:
            try:
                self._pair(candidate, predictor, benchmark)
            except ClickgrainError as error:
                self._failures.append(f"{candidate.name} on {benchmark.name}: {error}")

    def _pair(self, candidate: "Candidate", predictor: "Predictor", benchmark: "Benchmark") -> None:
        from clickgrain.commands.console import bar
        from clickgrain.evaluation.protocol import evaluate as click

        args = self._args
        files = (
            None if args.out is None else args.out / f"{file_name(candidate.identity)}--{file_name(benchmark.name)}"
        )
        with bar(f"{candidate.name} on {benchmark.name}") as progress:
            result = click(
                predictor,
                benchmark,
                model=candidate.identity,
                **args.settings.to_dict(),
                targets=args.limit,
                progress=progress,
                jsonl=files and files.with_name(f"{files.name}.jsonl"),
                resume=args.resume,
            )
        print(result.line(model=candidate.name), flush=True)
        self._results.append(result)
        if files is not None:
            save_json(files.with_name(f"{files.name}.json"), result.to_json())

    def finish(self) -> None:
        """Say what the figures do not."""
        from clickgrain.commands.console import say, say_all, stderr
        from clickgrain.evaluation.report import remarks, result_table

        if len(self._results) > 1 and stderr().is_terminal:
            stderr().print(result_table(self._results))
        for name in dict.fromkeys(result.benchmark for result in self._results):
            of_set = [result for result in self._results if result.benchmark == name]
            if lines := remarks(of_set[0].notes, of_set[0].skipped):
                say(f"{name}:", style="bold")
                say_all(lines)
        for result in self._results:
            if result.failed:
                say(f"{result.model} on {result.benchmark}:", style="bold")
                say_all(remarks((), (), [f"target {row.id}: {row.error}" for row in result.failed]))
        if self._failures:
            raise DataError("\n".join(["not evaluated:", *self._failures]))
