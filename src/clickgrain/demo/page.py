"""The report of the demo."""

import resource
import sys
from pathlib import Path

import numpy as np

from clickgrain.demo.story import EXTRACTOR, Story
from clickgrain.demo.targets import shown
from clickgrain.evaluation.html import (
    Html,
    Report,
    Series,
    border_contact,
    commands,
    comparison_table,
    example_gallery,
    examples,
    facts,
    failure_report,
    figure,
    gallery,
    headline,
    iou_curves,
    line_chart,
    machine,
    paragraph,
    size_table,
    tag,
    target_table,
    tree_pictures,
)
from clickgrain.evaluation.pictures import feature_map, overlay, target_pictures

SAMPLES = 4
"""Training composites shown."""
RIVALS = 3
"""Models in the headline and the pictures; the untrained one stands in the table and the curves only."""


def demo_report(story: Story) -> Report:
    """All sections: figures, trees, training, clicks, and how to make it again."""
    report = Report(
        "clickgrain demo",
        lead=f"{story.image_set.photos} photos without a single label, {_length(story.seconds['Training'])} of"
        " training on a CPU, and a model that cuts things out of photos it has never seen. All of it happened just"
        " now, on this machine.",
        footer="Made by clickgrain demo. This file needs no network and no other file. The photos come with"
        " scikit-image.",
    )
    report.add("", headline(_tiles(story)), paragraph(_verdict(story)))
    report.add("1. Photos become trees", *_trees(story))
    report.add("2. Trees become lessons", *_lessons(story))
    report.add("3. A robot clicks", *_clicks(story))
    report.add("4. Make it again, go further", *_notes(story))
    return report


def _tiles(story: Story) -> list[tuple[str, str, str]]:
    """One large figure per model: the clicks to IoU 0.85."""
    tiles = []
    for label, result in list(zip(story.models, story.results))[:RIVALS]:
        never = result.nof(0.85).never
        missed = f"{never} of {len(result.rows)} targets never get there" if never else "every target gets there"
        tiles.append((f"{result.noc(0.85):.1f}", label, f"clicks to IoU 0.85 on average; {missed}"))
    return tiles


def _verdict(story: Story) -> str:
    """One sentence that says who won, whoever it was."""
    ranked = sorted(list(zip(story.models, story.results))[:RIVALS], key=lambda pair: pair[1].noc(0.85))
    (first, best), (second, next_) = ranked[:2]
    if best.noc(0.85) == next_.noc(0.85):
        return f"On these {len(best.rows)} targets {first} and {second} tie for the fewest clicks to IoU 0.85."
    return (
        f"Fewest clicks to IoU 0.85 on these {len(best.rows)} targets: {first}, then {second}. So few"
        " targets show how the methods differ, not by exactly how much."
    )


def _trees(story: Story) -> list[Html]:
    blocks = [
        paragraph(
            "Every photo is turned into features, one vector for each small patch, and neighbouring patches that"
            " look alike are merged step by step into a tree: leaves are patches, the root is the whole photo, and"
            " every node between them is a region that might be an object. A click picks a leaf; a level says how"
            " far to climb. No label and no training is involved."
        )
    ]
    for i, photo in enumerate(story.photos):
        if photo.click is None:
            continue
        image, tree = shown(story.image_set, i)
        height, width = image.shape[:2]
        click = (int(photo.click[0] * (width - 1)), int(photo.click[1] * (height - 1)))
        parts = tree_pictures(image, tree, click, level=photo.level)
        features = feature_map(story.extractor(image), (height, width))
        parts.insert(1, figure(features, tag("b", "Features"), " main directions as colours", alt="feature map"))
        blocks += [tag("h3", f"{Path(photo.file).stem}: {tree.n_leaves} patches"), gallery(parts, cell=160)]
    return blocks


def _lessons(story: Story) -> list[Html]:
    image_set, lesson = story.image_set, story.lesson
    made = len(image_set) - image_set.photos
    chosen = range(image_set.photos, image_set.photos + min(SAMPLES, made))
    cards = [
        figure(
            overlay(image_set.image(i), image_set.mask(i) > 0.5),
            f"Composite {i - image_set.photos + 1}",
            alt="training composite",
        )
        for i in chosen
    ]
    window = max(1, len(lesson.losses) // 20)
    smooth = [float(np.mean(lesson.losses[i : i + window])) for i in range(0, len(lesson.losses), window)]
    points = [(float((i + 0.5) * window), value) for i, value in enumerate(smooth)]
    names = ", ".join(Path(photo.file).stem for photo in story.photos)
    loss = line_chart([Series("loss", points)], x="training step", y="loss", title="Training loss", dots=False)
    return [
        paragraph(
            "A region of a tree is a mask that nobody had to draw. Cut out of one photo and blended into another"
            f" it becomes an exact one: {made} such composites were made. A small network ({lesson.parameters:,}"
            f" weights) then practised for {lesson.steps} steps: clicks are simulated on regions and composites, it"
            " answers, and a further click corrects it."
        ),
        gallery(cards, cell=200),
        paragraph(f"Trained on: {names}.", soft=True),
        tag("details", tag("summary", "Loss by training step"), loss),
    ]


def _clicks(story: Story) -> list[Html]:
    labels = list(story.models)
    load = target_pictures(story.benchmark)
    rivals = list(story.models.values())[:RIVALS]
    shown_ = examples(story.results[:RIVALS], rivals, load, labels=labels[:RIVALS])
    held_out = ", ".join(Path(name).stem for name in story.held_out)
    return [
        paragraph(
            f"{len(story.benchmark)} targets are made of photos that the model has never seen ({held_out}): a piece"
            " of one in another, so that the wanted mask is known exactly. A robot clicks the middle of the largest"
            " mistake until the mask is right, at most 20 times, as the field's protocol says. All methods face the"
            " same targets."
        ),
        comparison_table(story.results, labels),
        paragraph(
            "The last row is the network before its first step. It does not start from nothing: its first weights"
            " follow a rule on what tree and colours say about the clicks. The difference from the first row is"
            f" what {story.lesson.steps} steps of training changed; a real model takes thousands."
        ),
        tag("h3", "How the masks grow better with clicks"),
        iou_curves(story.results, labels),
        tag("h3", "Clicks by size of the target"),
        size_table(story.results, labels),
        tag("h3", "What it looks like"),
        paragraph(
            "The targets on which ",
            tag("b", labels[0]),
            " does best, middling and worst. Dashed: the wanted outline. Blue: the mask. Green disks are clicks on"
            " the object, red squares on the background.",
        ),
        example_gallery(shown_),
        tag("h3", "Where they fail"),
        failure_report(story.results, labels, contact=border_contact(story.benchmark), pictures=load),
        target_table(story.results, labels),
    ]


def _notes(story: Story) -> list[Html]:
    out = story.args.out
    stages = {stage: f"{seconds:.0f} s" for stage, seconds in story.seconds.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    remarks = (*story.results[0].notes, *(reason for result in story.results for reason in result.skipped))
    return [
        paragraph("These figures come from:"),
        commands([f"clickgrain demo --out {out} --minutes {story.args.minutes:g} --seed {story.args.seed}"]),
        paragraph("The targets and the model are in its folder; the same clicks again, or your own photos:"),
        commands(
            [
                f"clickgrain evaluate --model {out}/model --model tree --model opencv-grabcut"
                f" --data composites={out}/targets",
                "clickgrain learn PHOTOS --out my-model",
                "clickgrain segment PHOTO --click X,Y --model my-model --out mask.png",
            ]
        ),
        paragraph(
            "What these figures are not: a benchmark. The targets are pasted pieces, not objects that people chose,"
            f" there are {len(story.benchmark)} of them, and the model has seen {story.image_set.photos} photos. A"
            " stage that was resumed shows the time of its last sitting."
        ),
        facts(
            {
                **machine(),
                "Peak memory": f"{peak:.2f} GiB",
                "Data": f"composites: {len(story.benchmark)} targets, long side {story.scale.side} pixels",
                "Features": EXTRACTOR,
                **stages,
                **({"Remarks": "; ".join(remarks)} if remarks else {}),
            }
        ),
    ]


def _length(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} seconds"
    return f"{round(seconds / 60, 1):g} minutes"
