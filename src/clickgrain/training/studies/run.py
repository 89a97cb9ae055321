"""`run_study`: every variant of a study trained and evaluated; stopped at any point, the same call goes on."""

from dataclasses import asdict, dataclass, replace

from clickgrain.devices import choose_device
from clickgrain.errors import ClickgrainError
from clickgrain.evaluation import Benchmark, Result, load_benchmark
from clickgrain.training.finetune_args import named_set
from clickgrain.training.learn import usable_extractor
from clickgrain.training.progress import Bar, Progress
from clickgrain.training.studies.args import StudyArgs
from clickgrain.training.studies.figures import Row, row_of
from clickgrain.training.studies.labels import LabelSplit, label_curves, split_labels, tune_variant
from clickgrain.training.studies.plans import STUDIES, Variant, plan
from clickgrain.training.studies.table import Table
from clickgrain.training.studies.trees import tree_figures
from clickgrain.training.studies.variants import TREES, Trained, choose_keys, evaluate_variant, train_variant


class StudyBar(Bar):
    """One line for what is under way; what is done is told by notes."""

    def start(self, what: str, total: int, done: int = 0) -> None:
        """Begin a stage in place of the last one."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        super().start(what, total, done)


def run_study(args: StudyArgs, progress: Progress | None = None) -> Table:
    """Train and evaluate all variants of a study; the table in `args.out` grows with each of them.

    A variant that cannot be run (an extractor without its weights, say) gets a row that says why, and is tried
    again by the next call.

    Args:
        args: see `StudyArgs`.
        progress: shows all stages; a bar on stderr when None.

    Raises:
        ConfigError: settings that do not fit the study.
        DataError: no photos, or no such data set.
        TrainingError: tables cannot be written, or not even the first variant can be run.
    """
    bar: Progress = progress or StudyBar()
    device = choose_device(args.device)
    args = replace(args, extractor=usable_extractor(args.extractor, bar))
    variants = plan(args, device)  # refuse unknown ones before photos and data are looked at
    benchmark = load_benchmark(*named_set(args.data))
    keys = choose_keys(args.photos, args.photos_limit)
    with bar:
        return _Run(args, benchmark, keys, variants, device, bar).table()


@dataclass
class _Run:
    """What the steps of one study share."""

    args: StudyArgs
    benchmark: Benchmark
    keys: list[str]
    variants: list[Variant]
    device: str
    bar: Progress

    def __post_init__(self) -> None:
        self.split: LabelSplit | None = None
        if self.args.study == "labels":
            self.split = split_labels(self.benchmark, self.args.labelled)
            self.benchmark = self.split.test
        self.benchmark = self.benchmark.select(self.args.data_limit)
        self.rows: list[Row] = []

    def table(self) -> Table:
        """All rows; the table is saved after each of them."""
        first = self._results(self.variants[0])
        self._add(self._row(self.variants[0], first, None))
        for variant in self.variants[1:]:
            try:
                self._add(self._row(variant, self._results(variant), first))
            except ClickgrainError as error:
                self._add(Row(variant.name, error=f"{error}".splitlines()[0]))
        return self._table()

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        self._table().save(self.args.out)
        said = row.error or f"NoC85 {row.figures['NoC85']:.2f}, {row.seconds:.0f} s of training"
        self.bar.note(f"{len(self.rows)} of {len(self.variants)}, {row.name}: {said}")

    def _results(self, variant: Variant) -> list[tuple[Trained, Result]]:
        pairs = []
        for seed in self.args.seeds:
            trained = self._train(variant, seed)
            pairs.append((trained, evaluate_variant(trained, self.benchmark, self.device, self.bar)))
        return pairs

    def _train(self, variant: Variant, seed: int) -> Trained:
        if variant.labels is None or self.split is None:
            return train_variant(self.args, variant, seed, self.keys, self.device, self.bar)
        start = self._train(self.variants[0], seed) if variant.start == "trained" else None
        return tune_variant(self.args, variant, seed, start, self.split, self.device, self.bar)

    def _row(
        self, variant: Variant, pairs: list[tuple[Trained, Result]], first: list[tuple[Trained, Result]] | None
    ) -> Row:
        more = {}
        if STUDIES[self.args.study].measures_trees:
            folder = self.args.out / TREES
            more = tree_figures(variant.extractor, variant.connectivity, self.benchmark, self.device, folder)
        return row_of(
            variant.name,
            [result for _, result in pairs],
            [trained.seconds for trained, _ in pairs],
            None if first is None else [result for _, result in first],
            **more,
        )

    def _table(self) -> Table:
        study = STUDIES[self.args.study]
        curves = label_curves(self.variants, self.rows) if self.split is not None else ()
        settings = asdict(self.args)
        return Table(
            self.args.study,
            study.title,
            study.question,
            self._size(),
            tuple(self.rows),
            len(self.variants),
            curves,
            settings,
        )

    def _size(self) -> str:
        recipe = self.variants[0].recipe
        args, images = recipe.args, len({target.image_id for target in self.benchmark})
        seeds = ", ".join(map(str, self.args.seeds))
        size = (
            f"Recipe `{self.args.recipe}`, {len(self.keys)} photos, {args.steps} steps of {args.batch} crops of"
            f" {args.data.crop} px, seed {seeds}; targets of {self.benchmark.name}: {len(self.benchmark)},"
            f" images: {images}."
        )
        return f"{size} {self.split.remark}" if self.split is not None else size
