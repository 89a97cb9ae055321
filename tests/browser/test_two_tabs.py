"""The same image in two windows: one log, nothing lost."""


def test_what_one_tab_does_the_other_shows_and_undoes(shared, tab):
    left = tab().open(shared.address, "photo06")
    right = tab().open(shared.address, "photo06")
    left.take(56, 56)
    right.until("clickgrain.store.state.image.document.objects.length === 1")
    assert right.objects() == left.objects()
    right.until("clickgrain.store.state.image.owners.at(56, 56) === 1")
    right.press("Control+z")
    left.until("clickgrain.store.state.image.owners.at(56, 56) === null")
    assert left.objects() == []


def test_both_at_once_lose_nothing(shared, tab):
    left = tab().open(shared.address, "photo07")
    right = tab().open(shared.address, "photo07")
    # the right one does not hear of the left one's action before it writes
    right.page.route("**/api/changes*", lambda route: route.abort())
    left.take(58, 56)
    right.take(126, 56, notches=0)
    assert [each["id"] for each in right.objects()] == [1, 2]
    left.until("clickgrain.store.state.image.owners.at(126, 56) === 2")
    assert left.owner(58, 56) == 1
    right.page.unroute("**/api/changes*")
    right.until("!clickgrain.store.state.banner")  # it hears again: no further poll is cut off
    right.complaints.clear()  # the polls that were cut off, and the conflict that was solved
