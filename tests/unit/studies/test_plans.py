"""Plans: every study builds its variants, and each differs from the first in what the study is about."""

import json
import subprocess
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

from clickgrain.clicks.config import MapSpec
from clickgrain.errors import ConfigError
from studies.config import StudyArgs
from studies.plans import STUDIES, base, plan


def args_of(study, **changes):
    given = {"photos": Path("photos"), "data": "set=folder", "out": Path("out"), "recipe": "grain-small"}
    return StudyArgs(study, **(given | {"extractor": "color-texture"} | changes))


def plain(variant):
    """All that a variant decides, but its name."""
    recipe = variant.recipe
    own = {f.name: getattr(variant, f.name) for f in fields(variant) if f.name not in ("name", "recipe")}
    return json.dumps([asdict(recipe.args), recipe.model.to_json(), own], sort_keys=True)


@pytest.mark.parametrize("study", STUDIES)
def test_variants_have_names_of_their_own_and_differ(study):
    variants = plan(args_of(study), "cpu")
    assert len(variants) > 2
    assert len({variant.name for variant in variants}) == len(variants)
    assert len({plain(variant) for variant in variants}) == len(variants)


@pytest.mark.parametrize("study", STUDIES)
def test_settings_reach_every_variant(study):
    variants = plan(args_of(study, steps=50, batch=3, crop=96, lr=1e-4), "cpu")
    for variant in variants:
        args = variant.recipe.args
        assert (args.steps, args.batch, args.data.crop, args.lr, args.warmup) == (50, 3, 96, 1e-4, 10)


def changed(study):
    """Names of the settings in which the variants of a study differ."""
    variants = [json.loads(plain(variant)) for variant in plan(args_of(study), "cpu")]
    names = set()
    for variant in variants[1:]:
        for one, other in zip(variants[0], variant):
            names |= {key for key in one if one[key] != other[key]}
    return names


@pytest.mark.parametrize(
    ("study", "settings"),
    [
        ("maps", {"maps"}),
        ("proposals", {"source", "data"}),  # composites are part of the data
        ("connectivity", {"connectivity"}),
        ("smoothness", {"losses"}),
        ("first-click", {"clicks"}),
        ("decay", {"data"}),
        ("extractors", {"extractor", "tree"}),
        ("labels", {"labels", "start"}),
    ],
)
def test_only_what_the_study_is_about_changes(study, settings):
    assert changed(study) == settings


def test_every_map_is_left_out_once_alone_or_with_its_partner():
    variants = plan(args_of("maps"), "cpu")
    every = variants[0].recipe.model.maps
    assert every == base(args_of("maps"), "cpu").recipe.model.maps
    groups = [set(every) - set(v.recipe.model.maps) for v in variants[1:-2]]
    assert sorted(name for group in groups for name in group) == sorted(every)
    assert {"level+", "level-"} in groups
    assert not MapSpec(variants[-2].recipe.model.maps).uses_tree
    assert set(variants[-1].recipe.model.maps) == {"disk+", "disk-", "previous"}


def test_maps_of_a_model_that_has_them_fixed():
    with pytest.raises(ConfigError, match="`maps` needs a grain recipe"):
        plan(args_of("maps", recipe="paper"), "cpu")


def test_studies_of_pseudo_masks_have_no_composites_beside_them():
    for study in ("decay", "connectivity"):
        assert {v.recipe.args.data.composites for v in plan(args_of(study), "cpu")} == {0.0}
    shares = {v.name: v.recipe.args.data.composites for v in plan(args_of("proposals"), "cpu")}
    assert shares.pop("composites only") == 1.0
    assert shares.pop("merge tree and composites") == base(args_of("proposals"), "cpu").recipe.args.data.composites
    assert set(shares.values()) == {0.0}


def test_targets_of_extractors_come_from_their_own_trees():
    """Edge trees and hidden regions are the same whatever the features are."""
    for study in ("extractors", "decay", "connectivity"):
        shares = {(v.recipe.args.data.edges, v.recipe.args.data.hidden) for v in plan(args_of(study), "cpu")}
        assert shares == {(0.0, 0.0)}


def test_studies_share_the_recipe_as_it_is():
    firsts = {plain(plan(args_of(study), "cpu")[0]) for study in ("maps", "smoothness", "first-click", "labels")}
    assert firsts == {plain(base(args_of("maps"), "cpu"))}


def test_some_of_the_variants():
    every = plan(args_of("decay"), "cpu")
    some = plan(args_of("decay", variants=("3", every[5].name)), "cpu")
    assert [variant.name for variant in some] == [every[i].name for i in (0, 2, 5)]


def test_an_unknown_variant_is_refused_with_the_list():
    with pytest.raises(ConfigError, match=r"--variants 'x' .* 1 '4 neighbours', 2 '8 neighbours'"):
        plan(args_of("connectivity", variants=("x",)), "cpu")


@pytest.mark.parametrize(
    ("flag", "changes"),
    [
        ("--seeds", {"seeds": ()}),
        ("--seeds", {"seeds": (1, 1)}),
        ("--seeds", {"seeds": (-1,)}),
        ("--shares", {"shares": (0.0,)}),
        ("--shares", {"shares": ()}),
        ("--photos-limit", {"photos_limit": 0}),
        ("--data-limit", {"data_limit": 0}),
        ("--steps", {"steps": 0}),
    ],
)
def test_settings_that_make_no_sense(flag, changes):
    with pytest.raises(ConfigError, match=flag):
        replace(args_of("maps"), **changes)


def test_plans_load_nothing_heavy():
    """So that --list and --help answer at once."""
    found = "print([m for m in ('torch', 'cv2') if m in sys.modules])"
    code = f"import sys, studies.plans; {found}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
