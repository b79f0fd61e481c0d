"""The error codes that a tool's source can report, found without running it.

Starting at the module that makes the responder, every module of ours that it imports is read, except the SDK. A code is
what is given as ``code``: by that name, or in the place of a parameter of that name. Where it isn't a text itself, the
assignments, tables and return values that it comes from are followed.
"""

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_NOT_READ = ("leadplan_responder", "leadplan_contracts", "leadplan_bus")
"""Packages whose codes belong to no tool: docs/errors.md has them."""


def codes_reported_from(module: str) -> frozenset[str]:
    """Every code that a tool can report whose responder this module makes."""
    sources = [_Source(name) for name in sorted(_imported_by(module))]
    positions: dict[str, int] = {}
    for source in sources:
        positions |= source.places_of_code()
    return frozenset(code for source in sources for code in source.codes(positions))


@cache
def _tree(module: str) -> ast.Module:
    spec = find_spec(module)
    assert spec is not None, module
    assert spec.origin is not None, module
    return ast.parse(Path(spec.origin).read_text())


def _imported_by(module: str) -> set[str]:
    """A module and all that it imports of ours, directly or through others."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found or not name.startswith("leadplan_") or name.startswith(_NOT_READ):
            continue
        found.add(name)
        for node in ast.walk(_tree(name)):
            if isinstance(node, ast.ImportFrom) and node.module:
                waiting.append(node.module)
                waiting += [f"{node.module}.{one.name}" for one in node.names if _is_module(node.module, one.name)]
    return found


def _is_module(package: str, name: str) -> bool:
    spec = find_spec(package)
    locations = spec.submodule_search_locations if spec else None
    return any((Path(location) / f"{name}.py").exists() for location in locations or ())


class _Source:
    def __init__(self, module: str) -> None:
        self._nodes = list(ast.walk(_tree(module)))
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        self._functions = {node.name: node for node in self._nodes if isinstance(node, functions)}

    def places_of_code(self) -> dict[str, int]:
        """Functions and classes that take a parameter ``code`` by its place, and which place that is."""
        places = {}
        for node in self._nodes:
            match node:
                case ast.ClassDef(name=name, body=body):
                    for one in body:
                        if isinstance(one, ast.FunctionDef) and one.name == "__init__":
                            place = _place_of_code(one)
                            # Without `self`, which no call gives.
                            places |= {name: place - 1} if place is not None else {}
                case ast.FunctionDef(name=name) if name != "__init__":
                    if (place := _place_of_code(node)) is not None:
                        places[name] = place
        return places

    def codes(self, places: dict[str, int]) -> Iterator[str]:
        for node in self._nodes:
            match node:
                case ast.Call(func=function, args=args, keywords=keywords):
                    given = [keyword.value for keyword in keywords if keyword.arg == "code"]
                    name = getattr(function, "id", getattr(function, "attr", ""))
                    if name in places and places[name] < len(args):
                        given.append(args[places[name]])
                    for value in given:
                        yield from self._texts(value, (), frozenset())
                case ast.FunctionDef(args=ast.arguments() as arguments):
                    yield from self._defaults(arguments)

    def _defaults(self, arguments: ast.arguments) -> Iterator[str]:
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            if argument.arg == "code" and default is not None:
                yield from self._texts(default, (), frozenset())

    def _texts(self, value: ast.AST, inside: Sequence[int], seen: frozenset[str]) -> Iterator[str]:
        """The texts that an expression can be; ``inside`` says which part of a tuple is meant."""
        match value:
            case ast.Constant(value=str(text)) if not inside:
                yield text
            case ast.Tuple(elts=elements) if inside:
                yield from self._texts(elements[inside[0]], inside[1:], seen)
            case ast.IfExp(body=body, orelse=orelse):
                yield from self._all([body, orelse], inside, seen)
            case ast.BoolOp(values=values):
                yield from self._all(values, inside, seen)
            case ast.Dict(values=values):
                yield from self._all(values, inside, seen)
            case ast.Subscript(value=table) | ast.Call(func=ast.Attribute(value=table, attr="get")):
                yield from self._texts(table, inside, seen)
            case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)) if name not in seen:
                yield from self._returned_by(name, inside, seen | {name})
            case ast.Name(id=name) | ast.Attribute(attr=name) if name not in seen:
                yield from self._assigned_to(name, inside, seen | {name})

    def _all(self, values: Sequence[ast.AST], inside: Sequence[int], seen: frozenset[str]) -> Iterator[str]:
        for value in values:
            yield from self._texts(value, inside, seen)

    def _returned_by(self, name: str, inside: Sequence[int], seen: frozenset[str]) -> Iterator[str]:
        function = self._functions.get(name)
        for node in ast.walk(function) if function is not None else ():
            if isinstance(node, ast.Return) and node.value is not None:
                yield from self._texts(node.value, inside, seen)

    def _assigned_to(self, name: str, inside: Sequence[int], seen: frozenset[str]) -> Iterator[str]:
        for node in self._nodes:
            match node:
                case ast.Assign(targets=[target], value=value):
                    if (way := _way_to(name, target)) is not None:
                        yield from self._texts(value, (*way, *inside), seen)
                case ast.AnnAssign(target=target, value=ast.AST() as value) | ast.NamedExpr(target=target, value=value):
                    if (way := _way_to(name, target)) is not None:
                        yield from self._texts(value, (*way, *inside), seen)
                case ast.ImportFrom(module=str(module), names=names) if module.startswith("leadplan_"):
                    if any(name in (one.name, one.asname) for one in names):
                        yield from _Source(module)._assigned_to(name, inside, frozenset())


def _place_of_code(function: ast.FunctionDef) -> int | None:
    names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
    return names.index("code") if "code" in names else None


def _way_to(name: str, target: ast.AST) -> tuple[int, ...] | None:
    """Where a name stands in what is assigned to: () for itself, None where it doesn't."""
    match target:
        case ast.Name(id=found) | ast.Attribute(attr=found) if found == name:
            return ()
        case ast.Tuple(elts=elements):
            for place, element in enumerate(elements):
                if (way := _way_to(name, element)) is not None:
                    return (place, *way)
    return None
