"""How large the code is, and how many modules (rooms) an argument walks through.

    python tools/measure_house.py [--rooms] [REVISION ...]

prints a column per git revision (default: HEAD); `.` is the working tree. Of `src/clickgrain`:

- files and lines of Python; functions (methods included), the median number of lines of their bodies without
  docstring, and private functions whose name stands in one place beside their definition;
- comments: lines with a `#` comment, other than orders to tools, in a hundred lines;
- two walks, from the source alone: the settings of `clickgrain learn`, and a click in the annotator's page. The
  first follows every call that receives the settings, a part of them, or settings made of them; the second every
  call that receives the request or anything computed from it. Calls are followed into functions of the package that
  imports, annotations, constructors, tables of handlers, or a method's unique name identify. A room is a module on
  the way, a stay is a call from one room into another. `--rooms` lists the rooms in order.
"""

import argparse
import ast
import io
import re
import statistics
import subprocess
import tarfile
import tempfile
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "clickgrain"
Function = ast.FunctionDef | ast.AsyncFunctionDef
CLICK = ("AddSteps", "Click")
"""The request of a click, where an action is told by its class."""
SETTINGS = re.compile(r"(Args|Settings|Config|Recipe|Spec|Plan|Laws?|Sampler|Setup|Simulation)$")
"""Classes of settings: the walk also follows values of such a class that are made of an argument."""
ORDERS = re.compile(r"#\s*(noqa|type:|fmt:|pragma|ruff:)")


@dataclass(frozen=True)
class Place:
    """A function of the package: its module, its class if it is a method, and its source."""

    module: str
    owner: str
    node: Function
    parent: "Place | None" = None

    @property
    def parameters(self) -> list[str]:
        """Names in the order in which they are given, without `self`."""
        args = self.node.args
        names = [one.arg for one in (*args.posonlyargs, *args.args)]
        return [*(names[1:] if self.owner and names else names), *(one.arg for one in args.kwonlyargs)]

    def names(self) -> dict[str, ast.expr]:
        """Local name -> its annotation, or what it is; also those of the functions around it."""
        found = self.parent.names() if self.parent is not None else {}
        args = self.node.args
        found |= {one.arg: one.annotation for one in (*args.args, *args.kwonlyargs) if one.annotation is not None}
        for node in ast.walk(self.node):
            found |= {name.id: value for name, value in _assigned(node) if isinstance(name, ast.Name)}
        return found


@dataclass
class House:
    """A parsed package.

    Attributes:
        sources: module -> its text.
        imports: module -> local name -> dotted name.
        functions: "module:name" or "module:Class.name" -> where it is; nested functions by their own name.
        methods: name -> methods called so.
        bases: "module:Class" -> its bases, as written.
        fields: "module:Class" -> attribute -> its annotation, or what it is made by.
        tables: "module:NAME" -> a dict that stands at the top of a module.
    """

    sources: dict[str, str] = field(default_factory=dict)
    imports: dict[str, dict[str, str]] = field(default_factory=dict)
    functions: dict[str, Place] = field(default_factory=dict)
    methods: dict[str, list[Place]] = field(default_factory=dict)
    bases: dict[str, list[str]] = field(default_factory=dict)
    fields: dict[str, dict[str, ast.expr]] = field(default_factory=dict)
    tables: dict[str, ast.Dict] = field(default_factory=dict)

    @classmethod
    def at(cls, source: Path) -> "House":
        """The package below a folder `src`."""
        house = cls()
        for path in sorted((source / PACKAGE).rglob("*.py*")):
            if path.suffix not in (".py", ".pyi"):
                continue
            parts = path.relative_to(source).with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            text = path.read_text(encoding="utf-8")
            house.imports.setdefault(module, {}).update(_imports(ast.parse(text), module))
            if path.suffix == ".py":
                house.sources[module] = text
                house._take(module, ast.parse(text), "")
        return house

    def _take(self, module: str, node: ast.AST, owner: str, parent: Place | None = None) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                key = f"{module}:{child.name}"
                self.bases[key], self.fields[key] = [ast.unparse(base) for base in child.bases], {}
                self._take(module, child, child.name)
            elif isinstance(child, Function):
                place = Place(module, owner, child, parent)
                name = f"{owner}.{child.name}" if owner else child.name
                self.functions.setdefault(f"{module}:{name}", place)
                if owner:
                    self.methods.setdefault(child.name, []).append(place)
                    self._take_fields(place)
                self._take(module, child, "", place)
            else:
                if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name) and owner:
                    self.fields[f"{module}:{owner}"][child.target.id] = child.annotation
                elif isinstance(child, (ast.Assign, ast.AnnAssign)) and isinstance(child.value, ast.Dict):
                    target = child.target if isinstance(child, ast.AnnAssign) else child.targets[0]
                    self.tables[f"{module}:{ast.unparse(target)}"] = child.value
                self._take(module, child, owner, parent)

    def _take_fields(self, place: Place) -> None:
        """`self.x = ...` in a method: what it is made by, or the annotation of the parameter that it is."""
        given = {one.arg: one.annotation for one in place.node.args.args + place.node.args.kwonlyargs}
        for node in ast.walk(place.node):
            for target, value in _assigned(node):
                if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                    kind = given.get(value.id) if isinstance(value, ast.Name) else value
                    if kind is not None:
                        self.fields[f"{place.module}:{place.owner}"].setdefault(target.attr, kind)

    def find(self, module: str, name: str) -> str | None:
        """ "module:name" of what a name means in a module, followed through imports."""
        for _ in range(5):
            if f"{module}:{name}" in self.functions or f"{module}:{name}" in self.bases:
                return f"{module}:{name}"
            dotted = self.imports.get(module, {}).get(name)
            if dotted is None:
                return None
            module, _, name = dotted.rpartition(".")
        return None

    def method(self, kind: str, name: str) -> Place | None:
        """A method of a class or of its bases."""
        for _ in range(5):
            if (found := self.functions.get(f"{kind}.{name}")) is not None:
                return found
            module = kind.partition(":")[0]
            known = [self.find(module, base) for base in self.bases.get(kind, [])]
            bases = [base for base in known if base in self.bases]
            if not bases or bases[0] is None:
                return None
            kind = bases[0]
        return None

    def kind(self, node: ast.expr | None, at: Place, names: dict[str, ast.expr]) -> str | None:
        """The class of an expression or annotation, where the source tells; `names`: local name -> the same."""
        if isinstance(node, ast.Constant):
            if not (isinstance(node.value, str) and re.fullmatch(r"\w+[\w. |]*", node.value)):
                return None
            return self.kind(ast.parse(node.value, mode="eval").body, at, {})
        if isinstance(node, ast.BinOp):  # X | None
            return self.kind(node.left, at, names) or self.kind(node.right, at, names)
        if isinstance(node, ast.Name):
            if node.id == "self" and at.owner:
                return f"{at.module}:{at.owner}"
            if node.id in names:
                less = {name: value for name, value in names.items() if name != node.id}
                return self.kind(names[node.id], at, less)
            found = self.find(at.module, node.id)
            return found if found in self.bases else None
        if isinstance(node, ast.Attribute) and (owner := self.kind(node.value, at, names)) is not None:
            own = self.fields[owner].get(node.attr)
            there = Place(owner.partition(":")[0], owner.partition(":")[2], at.node)
            if own is not None:
                return self.kind(own, there, {})
            getter = self.method(owner, node.attr)
            return self.kind(getter.node.returns, getter, {}) if getter is not None else None
        if isinstance(node, ast.Call):
            made = self.kind(node.func, at, names) if isinstance(node.func, ast.Name) else None
            entered = self.called(node, at, names)
            return made or (self.kind(entered[0].node.returns, entered[0], {}) if entered else None)
        return None

    def called(self, call: ast.Call, at: Place, names: dict[str, ast.expr]) -> list[Place]:
        """The functions that a call may enter; none where the source does not tell."""
        target = call.func
        if isinstance(target, ast.Name):
            if isinstance(own := names.get(target.id), ast.Subscript):
                return self._table(own, at)
            found = self.find(at.module, target.id)
            if found in self.bases:
                made = [self.method(found or "", name) for name in ("__init__", "__post_init__")]
                return [one for one in made if one is not None]
            return [self.functions[found]] if found in self.functions else []
        if isinstance(target, ast.Subscript):
            return self._table(target, at)
        if not isinstance(target, ast.Attribute):
            return []
        if isinstance(target.value, ast.Name) and (module := self.imports.get(at.module, {}).get(target.value.id)):
            found = self.find(module, target.attr)
            if found in self.functions:
                return [self.functions[found]]
        kind = self.kind(target.value, at, names)
        if kind is not None:
            found_method = self.method(kind, target.attr)
            return [found_method] if found_method is not None else []
        if hasattr(dict, target.attr) or hasattr(list, target.attr) or hasattr(Path, target.attr):
            return []
        used = [dotted.rpartition(".")[0] for dotted in self.imports.get(at.module, {}).values()]
        alike = self.methods.get(target.attr, [])
        return alike if len(alike) == 1 and alike[0].module in (at.module, *used) else []

    def _table(self, lookup: ast.Subscript, at: Place) -> list[Place]:
        """Functions in a table of handlers; of a table by kinds of requests only those for a click."""
        table = self.tables.get(f"{at.module}:{ast.unparse(lookup.value)}")
        if table is None:
            return []
        keys = [ast.unparse(key) if key is not None else "" for key in table.keys]
        chosen = [v for k, v in zip(keys, table.values) if k in CLICK or not set(keys) & set(CLICK)]
        found = [self.functions.get(f"{at.module}:{ast.unparse(value)}") for value in chosen]
        return [one for one in found if one is not None]


def _assigned(node: ast.AST) -> list[tuple[ast.expr, ast.expr]]:
    """(target, annotation or value) of an assignment; of tuples one by one."""
    if isinstance(node, ast.AnnAssign):
        return [(node.target, node.annotation)]
    if not isinstance(node, ast.Assign):
        return []
    if isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
        return list(zip(node.targets[0].elts, node.value.elts))
    return [(node.targets[0], node.value)]


def _imports(tree: ast.Module, module: str) -> dict[str, str]:
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # only in stubs of packages
                base = f"{module}.{base}"
            names |= {alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.asname or alias.name.partition(".")[0]: alias.name for alias in node.names}
    return names


def walk(house: House, start: Place, *, derived: bool) -> tuple[list[str], int]:
    """The rooms of a walk in the order of first entry, and the number of stays (calls from room to room).

    Args:
        house: the package.
        start: where it begins, with all of its parameters.
        derived: whether everything computed from what is carried is carried on, or only parts of it and settings.
    """
    rooms, stays, seen = [start.module], 0, set[tuple[int, frozenset[str]]]()
    waiting = [(start, frozenset(start.parameters))]
    while waiting:
        at, carried = waiting.pop()
        if (id(at.node), carried) in seen:
            continue
        seen.add((id(at.node), carried))
        further = []
        for place, taken in _calls(house, at, carried, derived):
            stays += place.module != at.module
            if place.module not in rooms:
                rooms.append(place.module)
            further.append((place, taken))
        waiting += reversed(further)
    return rooms, stays


def _calls(
    house: House, at: Place, carried: frozenset[str], derived: bool
) -> Iterator[tuple[Place, frozenset[str]]]:
    """Functions that are handed something carried, in the order of the source, with the parameters that it is."""
    known, names = set(carried), at.names()

    def is_part(node: ast.expr) -> bool:
        """Whether a value is something carried, a part of it, it with other settings, or settings made of it."""
        if isinstance(node, ast.Name):
            return node.id in known
        if isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred)):
            return is_part(node.value)
        if isinstance(node, (ast.Tuple, ast.List, ast.BoolOp)):
            return any(map(is_part, node.values if isinstance(node, ast.BoolOp) else node.elts))
        if isinstance(node, ast.IfExp):
            return is_part(node.body) or is_part(node.orelse)
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and is_part(node.func.value):
                return True
            made = derived or ast.unparse(node.func) == "replace"
            made = made or bool(SETTINGS.search(house.kind(node, at, names) or ""))
            return made and any(map(is_part, (*node.args, *(one.value for one in node.keywords))))
        return False

    nodes = [node for statement in at.node.body for node in _inside(statement)]
    for node in sorted(nodes, key=lambda one: (getattr(one, "lineno", 0), getattr(one, "col_offset", 0))):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            pairs = [(node.target, node.value)] if isinstance(node, ast.AnnAssign) else _assigned(node)
            known |= {name.id for name, value in pairs if isinstance(name, ast.Name) and is_part(value)}
        elif isinstance(node, ast.Call):
            for place in house.called(node, at, names):
                names_of = place.parameters
                if place.owner and isinstance(node.func, (ast.Name, ast.Subscript)) and place.node.name[:2] != "__":
                    names_of = ["self", *names_of]  # a method from a table of handlers
                given = [name for name, one in zip(names_of, node.args) if is_part(one)]
                given += [one.arg for one in node.keywords if one.arg and is_part(one.value)]
                if given or (isinstance(node.func, ast.Attribute) and is_part(node.func.value)):
                    yield place, frozenset(given)


def _inside(statement: ast.stmt) -> Iterator[ast.AST]:
    """All nodes of a statement, but the answers to other requests than a click."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [child for child in ast.iter_child_nodes(node) if not _is_other(child)]


def _is_other(node: ast.AST) -> bool:
    pattern = node.pattern if isinstance(node, ast.match_case) else None
    return isinstance(pattern, ast.MatchClass) and ast.unparse(pattern.cls).rpartition(".")[2] not in CLICK


def start_of_learn(house: House) -> Place:
    """The function behind `clickgrain learn`."""
    return house.functions[f"{PACKAGE}.commands.learn:learn"]


def start_of_click(house: House) -> Place:
    """The function that answers a POST to `/images/{image}/actions`."""
    for place in house.functions.values():
        for one in place.node.decorator_list:
            if isinstance(one, ast.Call) and ast.unparse(one.func).endswith(".post"):
                path = ast.unparse(one.args[0]) if one.args else ""
                if "images" in path and path.rstrip("'\"").endswith("/actions"):
                    return place
    raise LookupError("no function answers POST .../images/.../actions")


def measure(house: House) -> dict[str, object]:
    """Name of a figure -> its value."""
    bodies, comments, lines = [], 0, 0
    words = Counter(word for text in house.sources.values() for word in re.findall(r"\w+", text))
    private = 0
    for place in house.functions.values():
        body = place.node.body
        first = 1 if ast.get_docstring(place.node) is not None else 0
        inside = body[first:] or body
        bodies.append((inside[-1].end_lineno or 0) - inside[0].lineno + 1)
        name = place.node.name
        private += name.startswith("_") and not name.startswith("__") and words[name] == 2
    for text in house.sources.values():
        lines += text.count("\n")
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        comments += sum(one.type == tokenize.COMMENT and not ORDERS.match(one.string) for one in tokens)
    figures: dict[str, object] = {
        "files": len(house.sources),
        "lines": lines,
        "functions": len(bodies),
        "median body, lines": statistics.median(bodies),
        "private functions named in one place": private,
        "comments, %": round(100 * comments / lines, 1),
    }
    for name, find, derived in (("learn", start_of_learn, False), ("a click", start_of_click, True)):
        try:
            rooms, stays = walk(house, find(house), derived=derived)
            figures |= {
                f"walk of {name}, rooms": len(rooms),
                f"walk of {name}, stays": stays,
                f"rooms of {name}": rooms,
            }
        except LookupError as error:
            figures[f"walk of {name}, rooms"] = f"? ({error})"
    return figures


def house_of(revision: str) -> House:
    """The package at a git revision, or in the working tree for "."."""
    if revision == ".":
        return House.at(ROOT / "src")
    made = subprocess.run(["git", "archive", revision, "src"], cwd=ROOT, check=True, capture_output=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(made)) as archive:
            archive.extractall(folder, filter="data")
        return House.at(Path(folder) / "src")


def main(arguments: list[str] | None = None) -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revisions", nargs="*", metavar="REVISION", default=["HEAD"], help="a git revision, or .")
    parser.add_argument("--rooms", action="store_true", help="list the rooms of both walks in order")
    asked = parser.parse_args(arguments)
    revisions: list[str] = asked.revisions
    columns = [measure(house_of(revision)) for revision in revisions]
    print(f"| | {' | '.join(revisions)} |\n|---|{'---:|' * len(revisions)}")
    for name in dict.fromkeys(name for column in columns for name in column):
        if not name.startswith("rooms of"):
            print(f"| {name} | {' | '.join(str(column.get(name, '')) for column in columns)} |")
    if asked.rooms:
        for revision, column in zip(revisions, columns):
            for name, value in column.items():
                if name.startswith("rooms of"):
                    rooms = value if isinstance(value, list) else []
                    print(f"\n{name} at {revision}: {', '.join(map(str, rooms))}")


if __name__ == "__main__":
    main()
