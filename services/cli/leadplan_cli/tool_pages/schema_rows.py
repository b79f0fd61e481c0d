"""A JSON Schema as the rows of a table: one for each property, those of nested objects behind their own."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

_WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "null"}


@dataclass(frozen=True)
class Row:
    """One property.

    Attributes:
        name: the path to it, such as ``locationBias.circle.center`` or ``domains[].contacts[].email``.
        kind: its type and what it allows, in words.
        required: whether the schema asks for it.
        nullable: whether it may be null, which is the same as absent.
        default: as JSON text; empty where there is none.
        meaning: its description, else that of its model.
    """

    name: str
    kind: str
    required: bool
    nullable: bool
    default: str
    meaning: str


def rows_of(schema: Schema) -> list[Row]:
    """All properties of an object's schema, in its order, with references followed.

    A model that holds itself is listed once: its own rows aren't repeated inside.
    """
    definitions: Mapping[str, Schema] = schema.get("$defs", {})
    return list(_Walk(definitions).rows(schema, "", frozenset()))


class _Walk:
    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def rows(self, schema: Schema, prefix: str, open_models: frozenset[str]) -> Iterator[Row]:
        schema, models = self._followed(schema, open_models)
        required = schema.get("required", ())
        for name, one in schema.get("properties", {}).items():
            yield self._row(f"{prefix}{name}", one, name in required)
            inner, suffix = _inside(_without_null(one)[0], self._definitions)
            reference = _reference(inner)
            if reference is None or reference not in models:
                yield from self.rows(inner, f"{prefix}{name}{suffix}.", models)

    def _followed(self, schema: Schema, open_models: frozenset[str]) -> tuple[Schema, frozenset[str]]:
        reference = _reference(schema)
        if reference is None:
            return schema, open_models
        return self._definitions[reference], open_models | {reference}

    def _row(self, name: str, schema: Schema, required: bool) -> Row:
        bare, nullable = _without_null(schema)
        resolved, _ = self._followed(bare, frozenset())
        items, _ = self._followed(_without_null(resolved.get("items", {}))[0], frozenset())
        # What stands on the field itself says more than the docstring of its model.
        descriptions = (one.get("description") for one in (schema, bare, resolved, items))
        meaning = next((text for text in descriptions if text), "")
        # Docstrings mark code as reStructuredText does.
        meaning = " ".join(meaning.replace("``", "`").split())
        return Row(name, self._kind(bare), required, nullable, _default(schema), meaning)

    def _kind(self, schema: Schema) -> str:
        schema, _ = self._followed(schema, frozenset())
        if "const" in schema:
            return f"always {_code(schema['const'])}"
        if "enum" in schema:
            return ", ".join(_code(value) for value in schema["enum"])
        if "anyOf" in schema:
            return " or ".join(dict.fromkeys(self._kind(one) for one in schema["anyOf"]))
        kind = schema.get("type")
        if kind == "array":
            return f"{self._list(_without_null(schema.get('items', {}))[0])}{_limits(schema)}"
        if kind == "object":
            return self._object(schema)
        return f"{_WORDS.get(str(kind), 'any JSON')}{_limits(schema)}"

    def _object(self, schema: Schema) -> str:
        values = schema.get("additionalProperties")
        if isinstance(values, Mapping) and not schema.get("properties"):
            return f"object of names, each with {self._kind(_without_null(values)[0])}"
        return "object"

    def _list(self, items: Schema) -> str:
        kind, comma, limits = self._kind(items).partition(", ")
        if "`" in kind:
            return f"list of {kind}{comma}{limits}"
        plural = {"object": "objects", "text": "texts", "whole number": "whole numbers", "number": "numbers"}
        return f"list of {plural.get(kind, kind)}{f' ({limits})' if limits else ''}"


def _inside(schema: Schema, definitions: Mapping[str, Schema]) -> tuple[Schema, str]:
    """The schema whose properties come next, and what a list adds to their names."""
    reference = _reference(schema)
    resolved = definitions[reference] if reference else schema
    if resolved.get("type") == "array":
        inner, suffix = _inside(_without_null(resolved.get("items", {}))[0], definitions)
        return inner, f"[]{suffix}"
    return schema, ""


def _reference(schema: Schema) -> str | None:
    reference: str | None = schema.get("$ref")
    return reference.rpartition("/")[2] if reference else None


def _without_null(schema: Schema) -> tuple[Schema, bool]:
    """A schema without its alternative null, and whether it had one."""
    choices = schema.get("anyOf")
    if choices is None:
        return schema, False
    others = [one for one in choices if one.get("type") != "null"]
    if len(others) == len(choices):
        return schema, False
    return others[0] if len(others) == 1 else {"anyOf": others}, True


def _default(schema: Schema) -> str:
    value = schema.get("default")
    return "" if value is None else _code(value)


def _limits(schema: Schema) -> str:
    kind = schema.get("type")
    parts = [
        _range(schema.get("minimum"), schema.get("maximum")),
        _bound("above", schema.get("exclusiveMinimum")),
        _bound("below", schema.get("exclusiveMaximum")),
        _count(schema.get("minItems"), schema.get("maxItems"), "of them"),
        _count(schema.get("minLength"), schema.get("maxLength"), "characters"),
        f"as {_code(schema['pattern'])}" if kind == "string" and "pattern" in schema else "",
        f"a {schema['format']}" if kind == "string" and "format" in schema else "",
    ]
    return "".join(f", {part}" for part in parts if part)


def _range(low: float | None, high: float | None) -> str:
    match low, high:
        case None, None:
            return ""
        case None, _:
            return f"at most {high:g}"
        case _, None:
            return f"{low:g} or more"
        case _:
            return f"{low:g} to {high:g}"


def _bound(word: str, limit: float | None) -> str:
    return "" if limit is None else f"{word} {limit:g}"


def _count(low: int | None, high: int | None, what: str) -> str:
    # "At least one character" is what everybody expects of a text that must be there.
    if high is None:
        return f"at least {low} {what}" if low is not None and low > 1 else "not empty" if low else ""
    return f"{low} to {high} {what}" if low else f"at most {high} {what}"


def _code(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if text else '`""`'
