"""I want to know how good proposals can get with an extractor, before I spend a night on training."""

import pytest

from clickgrain.evaluation import TreeQuality


def test_a_table_and_a_file_with_all_figures(clickgrain, eval_set, tmp_path):
    out = tmp_path / "new" / "tree.json"
    arguments = ["--extractor", "color-texture", "--data", f"mine={eval_set}", "--cuts", "4", "20"]
    status, printed, said = clickgrain("evaluate-tree", *arguments, "--out", out)
    assert (status, said) == (0, "")
    quality = TreeQuality.from_json(out.read_text())
    assert (quality.cuts, len(quality.rows)) == ((4, 20), 3)
    assert quality.summary()["best IoU"] > 0.8
    row = next(line for line in printed.splitlines() if "all" in line.split())
    assert f"{100 * quality.summary()['best IoU']:.1f}" in row
    assert "AR@20" in printed


def test_trees_by_edges_beside_those_of_features(clickgrain, eval_set, tmp_path):
    out = tmp_path / "edges.json"
    arguments = ["--extractor", "color-texture", "--linkage", "edges", "--data", f"mine={eval_set}"]
    status, printed, said = clickgrain("evaluate-tree", *arguments, "--out", out)
    assert (status, said) == (0, "")
    quality = TreeQuality.from_json(out.read_text())
    assert (quality.name, len(quality.rows)) == ("edges", 3)
    assert "edges" in printed
    assert quality.summary()["best IoU"] > 0.7


def test_a_bad_mask_is_named(clickgrain, eval_set):
    (eval_set / "masks" / "disk1#0.png").write_bytes(b"")
    arguments = ["--extractor", "color-texture", "--data", f"mine={eval_set}"]
    status, printed, said = clickgrain("evaluate-tree", *arguments)
    assert status == 0
    assert "all" in printed
    assert "not counted: target disk1#0" in said


@pytest.mark.parametrize(
    ("flags", "wrong", "message"),
    [
        (["--extractor", "."], 1, "config.json"),
        (["--extractor", "color-texture", "--cuts", "0"], 2, "--cuts [0]"),
        (["--extractor", "color-texture", "--device", "gpu"], 2, "--device 'gpu'"),
        (["--extractor", "color-texture", "--limit", "-1"], 2, "--limit -1"),
    ],
)
def test_a_mistake_is_explained(clickgrain, eval_set, flags, wrong, message):
    status, printed, said = clickgrain("evaluate-tree", "--data", f"mine={eval_set}", *flags)
    assert (status, printed) == (wrong, "")
    assert message in said
