"""I have a folder of unlabelled photos, some of them broken, and several machines."""

import pytest

from clickgrain.proposals.store import ProposalStore

COLOR = ["--extractor", "color-texture"]


@pytest.fixture
def photos(tmp_path, disk, save):
    for number in range(6):
        save(tmp_path / "photos" / f"day{number % 2}" / f"{number}.png", disk(shift=number, seed=number)[0])
    return tmp_path / "photos"


def keys(path):
    with ProposalStore(path) as store:
        return set(store.keys())


def test_every_photo_gets_its_tree_once(clickgrain, photos, tmp_path):
    store = tmp_path / "trees"
    status, printed, said = clickgrain("propose", photos, "--out", store, *COLOR)
    assert (status, said) == (0, "")
    assert printed.startswith("6 trees made, 0 there already, 0 photos failed")
    assert keys(store) == {f"day{number % 2}/{number}.png" for number in range(6)}
    _, printed, _ = clickgrain("propose", photos, "--out", store, *COLOR)
    assert printed.startswith("0 trees made, 6 there already")


def test_a_broken_photo_is_named_and_the_rest_done(clickgrain, photos, tmp_path):
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff no more")
    status, printed, said = clickgrain("propose", photos, "--out", tmp_path / "trees", *COLOR)
    assert status == 0
    assert printed.startswith("6 trees made, 0 there already, 1 photos failed")
    assert len(said.splitlines()) == 1
    assert "broken.jpg" in said


def test_two_machines_share_the_work(clickgrain, photos, tmp_path):
    done = []
    for part in ("1/2", "2/2"):
        store = tmp_path / f"trees{part[0]}"
        assert clickgrain("propose", photos, "--out", store, *COLOR, "--shard", part)[0] == 0
        done.append(keys(store))
    assert done[0] | done[1] == {f"day{number % 2}/{number}.png" for number in range(6)}
    assert not done[0] & done[1]


def test_i_leave_files_out(clickgrain, photos, tmp_path):
    arguments = ["--ignore", "day0", "--ignore", "3.png"]
    clickgrain("propose", *arguments, photos, "--out", tmp_path / "trees", *COLOR)
    assert keys(tmp_path / "trees") == {"day1/1.png", "day1/5.png"}


def test_an_empty_folder_is_an_error(clickgrain, tmp_path):
    (tmp_path / "photos").mkdir()
    status, printed, said = clickgrain("propose", tmp_path / "photos", "--out", tmp_path / "trees", *COLOR)
    assert (status, printed) == (1, "")
    assert "photos" in said
