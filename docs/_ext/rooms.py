"""The rooms of the package: who imports whom, read from the code, and a drawing of it."""

import ast
from collections import defaultdict
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

PACKAGE = Path(__file__).parents[2] / "skunlearn"
_COLOURS = {"private": "#eeeeee", "methods": "#fbe0d8", "public": "#dbe9f6", "base": "#dcefdc"}
_INK = "#222222"
_METHODS = (
    *("ascent", "certified", "distillation", "editing", "exact", "finetuning", "graph"),
    *("influence", "relabelling", "compose", "auto"),
)


def modules(package=PACKAGE):
    """Files of the package by their dotted names, without the package's own first name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(package=PACKAGE):
    """What each module imports of the package, lazy imports included: a dict of sets of names."""
    files = modules(package)
    return {name: _imports_of(name, path, files, package.name) for name, path in files.items()}


def _imports_of(name, path, files, first):
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {(alias.name, None) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = [first, *name.split(".")] if name else [first]
                parts = parts if path.name == "__init__.py" else parts[:-1]
                base = ".".join([*parts[: len(parts) + 1 - node.level], *filter(None, [base])])
            found |= {(base, alias.name) for alias in node.names}
    names = set()
    for base, attribute in found:
        if base.partition(".")[0] != first:
            continue
        short = base.partition(".")[2]
        whole = ".".join(filter(None, [short, attribute]))
        names.add(whole if whole in files else short)
    return names - {name}


def room_of(name):
    """The room of a module: the package below the top, or a file at the top by itself."""
    return name.partition(".")[0]


def arrows(package=PACKAGE):
    """Rooms that import one another: a dict of room to a set of rooms."""
    found = {room_of(name): set() for name in modules(package) if name}
    for name, needed in imports(package).items():
        if name:
            found[room_of(name)] |= {room_of(other) for other in needed if other}
    return {room: others - {room} for room, others in found.items()}


def circle(graph):
    """Nodes of `graph`, a dict of sets, that import one another in a circle; None without one."""
    state, path = {}, []

    def visit(node):
        state[node] = "open"
        path.append(node)
        for other in sorted(graph.get(node, ())):
            if state.get(other) == "open":
                return [*path[path.index(other) :], other]
            if other not in state and (found := visit(other)):
                return found
        state[node] = "done"
        path.pop()
        return None

    for node in sorted(graph):
        if node not in state and (found := visit(node)):
            return found
    return None


def storeys(graph):
    """Rooms by height: each above all that it imports, close below the first that needs it."""
    if found := circle(graph):
        raise ValueError(f"These import one another in a circle: {' > '.join(found)}.")
    lowest, height = {}, {}

    def low(room):
        if room not in lowest:
            lowest[room] = 1 + max(map(low, graph[room]), default=-1)
        return lowest[room]

    def high(room):
        if room not in height:
            users = [high(user) for user, needed in graph.items() if room in needed]
            height[room] = min(users) - 1 if users else low(room)
        return height[room]

    levels = defaultdict(list)
    for room in sorted(graph):
        levels[high(room)].append(room)
    return [levels[level] for level in sorted(levels)]


def nearest(graph):
    """`graph` without the arrows that follow from others."""

    def below(room):
        return set().union(*(below(other) | {other} for other in graph[room]), set())

    return {
        room: {x for x in others if not any(x in below(y) for y in others - {x})}
        for room, others in graph.items()
    }


def draw(package=PACKAGE):
    """The house: rooms on storeys, an arrow from each to those that it needs.

    Arrows that follow from others are left out.
    """
    graph = arrows(package)
    levels = storeys(graph)
    few = nearest(graph)
    width, step, height = 12.0, 1.15, 0.52
    figure = Figure(figsize=(width, step * len(levels)), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(-0.3, step * len(levels) - 0.3))
    axes.axis("off")
    places = {}
    for level, rooms in enumerate(levels):
        for number, room in enumerate(_ordered(rooms, few, places, width)):
            x = width * (number + 0.5) / len(rooms)
            places[room] = x, level * step
    for room, others in few.items():
        for other in sorted(others):
            far = places[room][1] - places[other][1] > 1.5 * step
            _arrow(axes, places[room], places[other], height, bend=0.12 if far else 0)
    for room, (x, y) in places.items():
        kind = "private" if room.startswith("_") else "methods" if room in _METHODS else "public"
        kind = "base" if room == "base" else kind
        half = 0.058 * len(room) + 0.12
        axes.add_patch(
            FancyBboxPatch(
                (x - half, y),
                2 * half,
                height,
                boxstyle="round,pad=0.02",
                facecolor=_COLOURS[kind],
                edgecolor=_INK,
            )
        )
        axes.text(x, y + height / 2, room, ha="center", va="center", color=_INK)
    return figure


def _ordered(rooms, few, places, width):
    """Rooms of one storey from left to right, near what they need."""

    def centre(room):
        below = [places[other][0] for other in few[room] if other in places]
        return sum(below) / len(below) if below else width / 2

    return sorted(rooms, key=lambda room: (centre(room), room))


def _arrow(axes, start, end, height, bend):
    axes.add_patch(
        FancyArrowPatch(
            start,
            (end[0], end[1] + height),
            arrowstyle="-|>",
            connectionstyle=f"arc3,rad={bend}",
            mutation_scale=9,
            linewidth=0.7,
            color="#777777",
            shrinkA=0,
            shrinkB=2,
        )
    )
