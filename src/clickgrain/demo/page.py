"""The report of the demo."""

import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clickgrain.demo.config import EXTRACTOR, DemoArgs, DemoScale
from clickgrain.demo.lesson import Lesson
from clickgrain.demo.photos import DemoPhoto
from clickgrain.demo.targets import shown
from clickgrain.evaluation import Benchmark, Result
from clickgrain.evaluation.examples import tree_pictures
from clickgrain.evaluation.page import Chart, Figure, Line, line_chart, machine, write_page
from clickgrain.evaluation.pictures import feature_map, overlay
from clickgrain.evaluation.report import section
from clickgrain.features import FeatureExtractor
from clickgrain.training.image_set import ImageSet
from clickgrain.types import Predictor

SAMPLES = 4
"""Training composites shown."""
RIVALS = 3
"""Models in the headline and the images; the untrained one stands in the table and the curves only."""


@dataclass
class Story:
    """What the stages have made; the report is written from it.

    Attributes:
        photos: those to learn from.
        held_out: names of those that targets are made of.
        image_set: photos and composites.
        lesson: the trained model.
        benchmark: the targets.
        models: shown name -> predictor.
        results: one per model.
        seconds: by stage.
    """

    args: DemoArgs
    scale: DemoScale
    extractor: FeatureExtractor
    photos: list[DemoPhoto]
    held_out: list[str]
    image_set: ImageSet
    lesson: Lesson
    benchmark: Benchmark
    models: dict[str, Predictor]
    results: list[Result]
    seconds: dict[str, float]


def write_demo_report(story: Story) -> Path:
    """All sections: figures, trees, training, clicks, and how to make it again; returns where it is."""
    image_set, lesson, results, labels = story.image_set, story.lesson, story.results, list(story.models)
    seconds, peak = story.seconds["Training"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    length = f"{max(1, seconds):.0f} seconds" if seconds < 90 else f"{round(seconds / 60, 1):g} minutes"
    predictors = [model if i < RIVALS else None for i, model in enumerate(story.models.values())]
    skipped = [reason for result in results for reason in result.skipped]
    facts = {
        **machine(),
        "Peak memory": f"{peak / (2**30 if sys.platform == 'darwin' else 2**20):.2f} GiB",
        "Data": f"composites: {len(story.benchmark)} targets, long side {story.scale.side} pixels",
        "Features": EXTRACTOR,
        **{stage: f"{seconds:.0f} s" for stage, seconds in story.seconds.items()},
    }
    return write_page(
        story.args.out / "report.html",
        Path(__file__).with_name("demo.html"),
        lead=f"{image_set.photos} photos without a single label, {length} of training on a CPU, and a model that"
        " cuts things out of photos it has never seen. All of it happened just now, on this machine.",
        tiles=[
            (f"{result.noc(0.85):.1f}", label, result.nof(0.85).never, len(result.rows))
            for label, result in list(zip(labels, results))[:RIVALS]
        ],
        ranked=sorted(zip((result.noc(0.85) for result in results[:RIVALS]), labels)),
        trees=_trees(story),
        composites=[
            Figure(
                overlay(image_set.image(i), image_set.mask(i) > 0.5),
                f"Composite {i - image_set.photos + 1}",
                alt="composite",
            )
            for i in range(image_set.photos, min(image_set.photos + SAMPLES, len(image_set)))
        ],
        made=len(image_set) - image_set.photos,
        lesson=lesson,
        trained_on=[Path(photo.file).stem for photo in story.photos],
        held_out=[Path(name).stem for name in story.held_out],
        loss=_loss(lesson.losses),
        section=section(results, labels, story.benchmark, predictors, clicks=3, drawn=RIVALS),
        out=story.args.out,
        args=story.args,
        photos=image_set.photos,
        facts=facts | ({"Remarks": "; ".join(skipped)} if skipped else {}),
    )


def _trees(story: Story) -> list[tuple[str, list[Figure]]]:
    """What became of the photos that have a click to show."""
    trees = []
    for i, photo in enumerate(story.photos):
        if photo.click is None:
            continue
        image, tree = shown(story.image_set, i)
        height, width = image.shape[:2]
        click = (int(photo.click[0] * (width - 1)), int(photo.click[1] * (height - 1)))
        figures = tree_pictures(image, tree, click, level=photo.level)
        features = feature_map(story.extractor(image), (height, width))
        figures.insert(1, Figure(features, "Features", "main directions as colors", "feature map"))
        trees.append((f"{Path(photo.file).stem}: {tree.n_leaves} patches", figures))
    return trees


def _loss(losses: list[float]) -> Chart:
    """The loss by training step, means of twentieths."""
    window = max(1, len(losses) // 20)
    parts = [losses[i : i + window] for i in range(0, len(losses), window)]
    points = [((i + 0.5) * window, float(np.mean(part))) for i, part in enumerate(parts)]
    return line_chart([Line("loss", points)], x="training step", y="loss", title="Training loss", dots=False)
