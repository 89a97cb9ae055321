"""The page's pure modules, in the browser: views, keys, lists, colours, who owns a pixel, the line of actions."""

import pytest


@pytest.fixture
def run(bare):
    """Run the body of an async function with a core module's exports at hand as `m`, arguments as `a`, `b`."""

    def call(module, body, *arguments):
        load = f"import('/page/core/{module}.js').then(async (m) => {{ const [a, b] = given; {body} }})"
        return bare.evaluate(f"(given) => {load}", list(arguments))

    return call


def test_a_view_zooms_around_the_pointer_and_stays_in_sight(run):
    moved = run(
        "geometry",
        """const image = { width: 400, height: 300 }, screen = { width: 800, height: 500 }, at = { x: 300, y: 200 };
        let view = m.fit(image, screen);
        const before = m.toImage(view, at);
        for (const factor of [2, 1.7, 1.3]) view = m.zoomAt(view, factor, at, image, screen);
        const after = m.toImage(view, at), away = m.pan(view, 1e6, -1e6, image, screen);
        const corner = m.toScreen(away, { x: 0, y: 300 }), least = m.zoomAt(view, 1e-9, at, image, screen);
        const most = m.zoomAt(view, 1e9, at, image, screen).scale;
        return { dx: after.x - before.x, dy: after.y - before.y, corner, most, least: least.scale };""",
    )
    assert abs(moved["dx"]) < 1e-9
    assert abs(moved["dy"]) < 1e-9
    assert moved["corner"] == {"x": 800 - 48, "y": 48}
    assert moved["most"] == 64
    assert 0 < moved["least"] <= 1


@pytest.mark.parametrize(
    ("a", "b", "box"),
    [
        ([5.2, 7.9], [1.5, 2.1], [1, 2, 6, 8]),
        ([-9, -9], [999, 999], [0, 0, 40, 30]),
        ([3.5, 3.5], [3.5, 3.5], [3, 3, 4, 4]),
        ([99, 99], [120, 120], [39, 29, 40, 30]),
    ],
)
def test_a_box_is_never_empty_nor_outside(run, a, b, box):
    made = "const at = ([x, y]) => ({ x, y }); return m.boxOf(at(a), at(b), { width: 40, height: 30 });"
    assert run("geometry", made, a, b) == box


@pytest.mark.parametrize(
    ("view", "pixels"),
    [
        ([2, 8, 8], None),  # all of it, with a margin
        ([4, 8, 8], [0, 0, 23, 18]),
        ([4, -40, -50], [10, 12, 35, 30]),
        ([4, -130, -100], [32, 25, 40, 30]),
        ([8, 500, 0], None),  # nothing
    ],
)
def test_what_an_enlarged_image_shows(run, view, pixels):
    shown = """const [scale, x, y] = a;
        return m.shown({ scale, x, y }, { width: 40, height: 30 }, { width: 100, height: 80 });"""
    assert run("geometry", shown, view) == pixels


def test_a_stroke_is_thinned_but_keeps_its_ends(run):
    points = run(
        "geometry",
        "return m.thin(Array.from({ length: 101 }, (_, i) => ({ x: i / 10, y: 0 })), 2).map((point) => point.x);",
    )
    assert points[0] == 0
    assert points[-1] == 10
    assert len(points) == 6


@pytest.mark.parametrize(
    ("event", "keys"),
    [
        ({"key": "z", "ctrlKey": True}, "Ctrl+Z"),
        ({"key": "Z", "ctrlKey": True, "shiftKey": True}, "Ctrl+Shift+Z"),
        ({"key": "z", "metaKey": True}, "Ctrl+Z"),
        ({"key": "?", "shiftKey": True}, "?"),
        ({"key": "{", "code": "BracketLeft", "shiftKey": True}, "Shift+["),
        ({"key": " ", "shiftKey": True}, "Shift+Space"),
        ({"key": "ArrowUp", "shiftKey": True}, "Shift+ArrowUp"),
        ({"key": "Shift", "shiftKey": True}, ""),
    ],
)
def test_combinations(run, event, keys):
    plain = {"ctrlKey": False, "metaKey": False, "shiftKey": False, "altKey": False}
    assert run("keys", "return m.combination(a);", plain | event) == keys


def test_every_key_does_one_thing_and_a_key_given_away_is_gone(run):
    twice, brush, eraser, taken = run(
        "keys",
        """const all = m.COMMANDS.flatMap((command) => command.keys), own = m.rebind({}, "brush", "E");
        const map = m.bindings(own);
        return [all.length - new Set(all).size, map.get("E"), m.keysOf(own, "eraser"), map.has("B")];""",
    )
    assert twice == 0
    assert brush == "brush"
    assert eraser == []
    assert not taken


def test_a_long_list_draws_what_is_seen(run):
    assert run("virtual", "return m.visibleRows(10000, 64, 64000, 640, 2);") == {"first": 998, "last": 1012}
    assert run("virtual", "return m.visibleRows(0, 64, 500, 640);") == {"first": 0, "last": 0}
    assert run(
        "virtual", "return [m.scrollTo(5, 10, 0, 40), m.scrollTo(2, 10, 50, 40), m.scrollTo(6, 10, 50, 40)];"
    ) == [20, 20, 50]


def test_names_are_found_by_words_in_any_order(run):
    images = [{"name": "dogs/Ben 1.png", "status": "todo"}, {"name": "cats/Ben 2.png", "status": "done"}]
    names = "return m.filtered(a, b[0], b[1]).map((image) => image.name);"
    assert run("filter", names, images, ["ben dog", "all"]) == ["dogs/Ben 1.png"]
    assert run("filter", names, images, ["ben", "done"]) == ["cats/Ben 2.png"]
    assert run("filter", "return m.counts(a);", images) == {
        "all": 2,
        "todo": 1,
        "doing": 0,
        "done": 1,
        "checked": 0,
        "sent_back": 0,
        "skipped": 0,
    }


def test_a_pixel_belongs_to_the_topmost_or_to_a_locked_object(run):
    owners = """const box = { x: 1, y: 1, width: 4, height: 3 };
        const full = () => ({ box, bits: new Uint8Array(12).fill(1) });
        const layer = (id, locked, hidden = false) => ({ id, bits: full(), colour: "#204060", hidden, locked });
        const owners = new m.Owners(8, 6), seen = [];
        const both = [layer(1, false), layer(2, false)], locked = [layer(1, true), layer(2, false)];
        for (const layers of [both, locked, [layer(2, false, true)], []]) {
            const dirty = owners.update(layers);
            const out = new Uint32Array(48);
            owners.draw({ x: 0, y: 0, width: 8, height: 6 }, 0.5, out);
            seen.push([owners.at(2, 2), owners.at(0, 0), dirty.width, out[2 * 8 + 2] >>> 24, owners.covered()]);
        }
        return seen;"""
    top, locked, hidden, none = run("owners", owners)
    assert top == [2, None, 4, 128, 0.25]
    assert locked == [1, None, 4, 128, 0.25]
    assert hidden == [None, None, 4, 0, 0.25]  # it catches no pointer, but its pixels are not free
    assert none == [None, None, 4, 0, 0]


QUEUE = """const sent = [], told = [], answers = a.map((each) => ({ ...each }));
    const queue = new m.Queue({ tab: "tab", sleep: async () => {}, took: () => {},
        tell: (waiting, problem) => told.push([waiting, problem?.message ?? null]),
        send: async (body) => {
            sent.push([body.seq, body.client, body.action.kind]);
            const next = answers.shift();
            if (next.throw) throw Object.assign(new Error(next.throw), { kind: next.throw, body: next.body });
            return next;
        } });
    const done = await Promise.allSettled(b.map((kind) => queue.add({ kind })));
    return { sent, told, done: done.map((each) => each.status), seq: queue.seq, left: queue.line.length };"""


def test_actions_wait_while_the_server_is_away_and_keep_their_order(run):
    answers = [{"throw": "retry"}, {"throw": "retry"}, {"seq": 1}, {"seq": 2}]
    end = run("queue", QUEUE, answers, ["object.add_steps", "undo"])
    assert [each[2] for each in end["sent"]] == ["object.add_steps"] * 3 + ["undo"]
    assert [each[0] for each in end["sent"]] == [0, 0, 0, 1]
    assert [2, "retry"] in end["told"]
    assert end["done"] == ["fulfilled"] * 2
    assert (end["seq"], end["left"]) == (2, 0)


def test_after_somebody_else_an_object_is_sent_again_but_an_undo_is_not(run):
    conflict = {
        "throw": "conflict",
        "body": {"seq": 5, "actions": [{"client": "other:1"}], "document": {"objects": []}},
    }
    end = run("queue", QUEUE, [conflict, {"seq": 6}], ["object.add_steps"])
    assert [each[0] for each in end["sent"]] == [0, 5]
    assert end["done"] == ["fulfilled"]
    end = run("queue", QUEUE, [conflict] * 20 + [{"seq": 6}], ["object.add_steps"])  # others are always faster
    assert end["done"] == ["fulfilled"]
    end = run("queue", QUEUE, [conflict], ["undo"])
    assert (end["done"], end["seq"]) == (["rejected"], 5)


def test_an_action_whose_answer_got_lost_is_not_done_twice(run):
    conflict = {
        "throw": "conflict",
        "body": {"seq": 1, "actions": [{"client": "tab:1"}], "document": {"objects": [{"id": 4}]}},
    }
    end = run("queue", QUEUE, [{"throw": "retry"}, conflict], ["object.add_steps"])
    assert len(end["sent"]) == 2
    assert (end["done"], end["seq"]) == (["fulfilled"], 1)


def test_a_refused_action_does_not_hold_up_the_next(run):
    end = run("queue", QUEUE, [{"throw": "refused"}, {"seq": 1}], ["object.edit", "status"])
    assert end["done"] == ["rejected", "fulfilled"]
