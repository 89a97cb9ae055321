"""What each study varies: variants of one recipe, that training runs as it runs any other. Loads nothing heavy."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from clickgrain.clicks.config import MapSpec
from clickgrain.errors import ConfigError
from clickgrain.models.config import GrainConfig
from clickgrain.proposals.config import AREA, LEVEL, Sampler
from clickgrain.training.config import Recipe, load_recipe
from studies.config import StudyArgs

Source = Literal["tree", "felzenszwalb", "slic", "boxes", "cut", "composites"]


@dataclass(frozen=True)
class Variant:
    """One row of a study's table.

    Attributes:
        name: what is different about it.
        recipe: to train by; `recipe.args.seed` is replaced by each seed.
        extractor: whose features make the merge trees.
        source: where pseudo masks come from.
        connectivity: of the trees that pseudo masks come from; click maps keep the model's own trees.
        labels: share of the labels that the trained model is fine-tuned with, None without fine-tuning.
        start: of fine-tuning: the model trained without labels, or fresh weights.
    """

    name: str
    recipe: Recipe
    extractor: str
    source: Source = "tree"
    connectivity: Literal[0, 4, 8] = 4
    labels: float | None = None
    start: Literal["trained", "scratch"] = "trained"


@dataclass(frozen=True)
class Study:
    """One study.

    Attributes:
        title: heading of its table.
        question: what it asks.
        make: its variants, given the unchanged recipe; the first is what the others are compared with.
        measures_trees: its table also has figures of the trees themselves.
    """

    title: str
    question: str
    make: Callable[[Variant, StudyArgs], list[Variant]]
    measures_trees: bool = False


def plan(args: StudyArgs, device: str) -> list[Variant]:
    """The variants of a study, in the order of its table; only those asked for, and always the first.

    Raises:
        ConfigError: for a recipe that does not fit the study, or an unknown variant.
    """
    assert args.study is not None, "checked by the command"
    made = STUDIES[args.study].make(base(args, device), args)
    names = [variant.name for variant in made]
    known = {name: i for i, name in enumerate(names)} | {f"{i + 1}": i for i in range(len(names))}
    for wanted in args.variants:
        if wanted not in known:
            raise ConfigError(f"--variants {wanted!r} is no variant of {args.study}; choose from: {_listed(names)}")
    chosen = {0, *(known[wanted] for wanted in args.variants)} if args.variants else set(range(len(names)))
    return [variant for i, variant in enumerate(made) if i in chosen]


def base(args: StudyArgs, device: str) -> Variant:
    """The recipe before anything is varied, with a warm-up that short runs can afford."""
    recipe = load_recipe(args.recipe, device).with_settings(
        steps=args.steps, batch=args.batch, crop=args.crop, lr=args.lr, tree=args.extractor
    )
    warmup = min(recipe.args.warmup, recipe.args.steps // 5)
    settings = replace(recipe.args, warmup=warmup, validate_every=0, validation_targets=2)
    return Variant("as the recipe", replace(recipe, args=settings), args.extractor)


def _listed(names: list[str]) -> str:
    return ", ".join(f"{i} {name!r}" for i, name in enumerate(names, 1))


def _with(variant: Variant, name: str, **changes: Any) -> Variant:
    """Another variant: keys are fields of `Variant`, of `TrainArgs` or of `DataArgs`."""
    own = {key: changes.pop(key) for key in list(changes) if key in Variant.__dataclass_fields__}
    return replace(variant, name=name, recipe=variant.recipe.with_settings(**changes), **own)


def pure(variant: Variant) -> Variant:
    """Without anything else that would dilute what a study of pseudo masks is about."""
    shares = ("composites", "composites_per_photo", "objects", "large", "edges", "hidden")
    return _with(variant, variant.name, **dict.fromkeys(shares, 0.0))


def _proposals(first: Variant, args: StudyArgs) -> list[Variant]:
    alone = pure(first)
    return [
        _with(alone, "merge tree"),
        _with(alone, "Felzenszwalb regions, 3 scales", source="felzenszwalb"),
        _with(alone, "SLIC superpixels, 3 sizes", source="slic"),
        _with(alone, "random boxes", source="boxes"),
        _with(alone, "one cut of the tree into 32 regions", source="cut"),
        _with(alone, "tree of edges", edges=1.0),
        _with(alone, "hidden regions", hidden=1.0),
        _with(first, "composites only", source="composites", composites=1.0, composites_per_photo=1.0),
        _with(first, "merge tree and composites", edges=0.0, hidden=0.0),
    ]


def _decay(first: Variant, args: StudyArgs) -> list[Variant]:
    alone = pure(first)
    samplers = [(f"top-down, decay {d:g}", Sampler("paper", decay=d)) for d in (0.9, 0.5, 0.7, 0.8, 0.95, 1.0)]
    samplers += [("balanced by log-area, from 0.2 %", AREA), ("balanced by level, from 0.2 %", LEVEL)]
    return [_with(alone, name, sampler=sampler) for name, sampler in samplers]


def _smoothness(first: Variant, args: StudyArgs) -> list[Variant]:
    kinds: list[tuple[float, Literal["bilateral", "published"]]] = [
        (0, "bilateral"),
        (1, "bilateral"),
        (10, "bilateral"),
        (100, "bilateral"),
        (1, "published"),
        (10, "published"),
    ]
    losses = first.recipe.args.losses
    return [
        _with(
            first,
            f"{variant}, weight {weight:g}" if weight else "none",
            losses=replace(losses, smoothness=float(weight), smoothness_variant=variant),
        )
        for weight, variant in kinds
    ]


def _connectivity(first: Variant, args: StudyArgs) -> list[Variant]:
    alone = pure(first)
    return [
        _with(alone, "4 neighbours"),
        _with(alone, "8 neighbours", connectivity=8),
        _with(alone, "no constraint", connectivity=0),
    ]


def _extractors(first: Variant, args: StudyArgs) -> list[Variant]:
    names = dict.fromkeys((args.extractor, *args.extractors))
    return [_with(first, name, extractor=name, tree=name, edges=0.0, hidden=0.0) for name in names]


def _first_click(first: Variant, args: StudyArgs) -> list[Variant]:
    clicks = first.recipe.args.clicks
    shares = [
        _with(first, f"{share:.0%} single", clicks=replace(clicks, share_single=share, share_recursive=0.0))
        for share in (0.0, 0.01, 0.25, 0.5, 1.0)
    ]
    name = f"{clicks.share_single:.0%} single, {clicks.share_recursive:.0%} corrections only (the recipe)"
    return [_with(first, name), *shares]


def _maps(first: Variant, args: StudyArgs) -> list[Variant]:
    """All maps, without each pair, without all that the tree gives, and what published models see."""
    model = first.recipe.model
    if not isinstance(model, GrainConfig):
        raise ConfigError(f"the study `maps` needs a grain recipe; {model.kind!r} models have their maps fixed")
    groups: dict[str, list[str]] = {}
    for name in model.maps:
        groups.setdefault(_group(name), []).append(name)
    of_tree = [name for name in model.maps if MapSpec((name,)).uses_tree]
    drops = {f"without {group}": names for group, names in groups.items()}
    drops["without all that needs the tree"] = of_tree
    drops["only disks and previous mask"] = [n for n in model.maps if n not in ("disk+", "disk-", "previous")]
    made = [_with(first, "all")]
    for name, dropped in drops.items():
        kept = tuple(n for n in model.maps if n not in dropped)
        if kept and dropped:
            recipe = replace(first.recipe, model=replace(model, maps=kept))
            made.append(replace(first, name=name, recipe=recipe))
    return made


MAP_GROUPS = {
    "level+": "closeness in the tree", "disk+": "disks", "color+": "closeness in colour",
    "geodesic+": "closeness along the image", "previous": "the previous mask", "posterior": "the colour posterior",
    "centre": "regions around clicks", "ball": "regions around clicks", "correction+": "regions around clicks",
    "edge+": "closeness in the edge tree", "box": "the box",
    "level": "the wanted level", "level?": "the wanted level",
}  # fmt: skip


def _group(name: str) -> str:
    """Maps that go together: both signs of a kind, and the wanted level with its flag."""
    positive = f"{name[:-1]}+" if name.endswith(("+", "-")) else name
    return MAP_GROUPS.get(positive, positive.rstrip("+?"))


def _labels(first: Variant, args: StudyArgs) -> list[Variant]:
    tuned = [
        _with(first, f"{share:.0%} of the labels, {start}", labels=share, start=key)
        for key, start in (("trained", "from that model"), ("scratch", "from scratch"))
        for share in sorted(args.shares)
    ]
    return [_with(first, "no labels"), *tuned]


STUDIES: dict[str, Study] = {
    "maps": Study("Click maps", "What does each of the click maps contribute?", _maps),
    "proposals": Study("Proposal sources", "Which regions make good pseudo masks?", _proposals),
    "connectivity": Study(
        "Connectivity", "What does it cost and bring that only neighbours merge?", _connectivity, True
    ),
    "smoothness": Study("Smoothness", "How much smoothness loss, and which?", _smoothness),
    "first-click": Study("First clicks", "How many samples should begin with a single click?", _first_click),
    "decay": Study("Sampling sampler", "How deep in the tree should pseudo masks be drawn?", _decay),
    "extractors": Study("Extractors", "Whose features make the best trees?", _extractors, True),
    "labels": Study("Labels", "How many labels does training without labels replace?", _labels),
}
