"""Comparing requests with the API documents, field by field. The documents lie in ``api_documents`` as data.

Of an endpoint they hold its method and path, and as JSON Schema the headers, the parameters in the address and the
body that are documented. Whatever isn't documented is a problem, as is a key anywhere but in its header.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from jsonschema import Draft202012Validator
from recording_proxy import RecordedRequest

_FOLDER = Path(__file__).with_name("api_documents")
_OF_HTTP = {"host", "accept", "accept-encoding", "connection", "user-agent", "content-length"}
"""Headers that belong to HTTP and not to an API."""


@dataclass(frozen=True)
class Endpoint:
    """One documented endpoint. In its path ``{id}`` stands for a number."""

    host: str
    key_header: str
    method: str
    path: str
    headers: Mapping[str, Any]
    query: Mapping[str, Any]
    body: Mapping[str, Any] | None = None
    oneOf: tuple[str, ...] = ()  # noqa: N815 - as in the file
    """Headers and parameters of which exactly one must be there."""

    def is_meant(self, request: RecordedRequest) -> bool:
        pattern = re.escape(self.path).replace(r"\{id\}", "[0-9]+")
        path = request.target.partition("?")[0]
        return (request.host, request.method) == (self.host, self.method) and re.fullmatch(pattern, path) is not None

    def __str__(self) -> str:
        return f"{self.method} {self.host}{self.path}"


@cache
def documented_endpoints() -> tuple[Endpoint, ...]:
    found = []
    for file in sorted(_FOLDER.glob("*.json")):
        document = json.loads(file.read_text())
        for one in document["endpoints"]:
            filled_in = _with_shared(one, document.get("shared", {}))
            found.append(Endpoint(document["host"], document["keyHeader"], **filled_in))
    return tuple(found)


def _with_shared(value: Any, shared: Mapping[str, Any]) -> Any:
    """The value with each ``{"shared": NAME}`` inside replaced by what the document has under that name."""
    match value:
        case {"shared": str(name), **others} if not others:
            return shared[name]
        case dict():
            return {name: _with_shared(one, shared) for name, one in value.items()}
        case list():
            return [_with_shared(one, shared) for one in value]
        case _:
            return value


def hosts() -> list[str]:
    return sorted({endpoint.host for endpoint in documented_endpoints()})


def endpoint_of(request: RecordedRequest) -> Endpoint | None:
    return next((endpoint for endpoint in documented_endpoints() if endpoint.is_meant(request)), None)


def problems_of(request: RecordedRequest, key: str) -> list[str]:
    """Everything about a request that isn't as documented; ``key`` is the one that it must carry."""
    endpoint = endpoint_of(request)
    if endpoint is None:
        return [f"{request.method} {request.host}{request.target} is no documented endpoint"]
    return [
        f"{endpoint}: {problem}"
        for problem in (
            *_header_problems(request, endpoint, key),
            *_query_problems(request, endpoint),
            *_choice_problems(request, endpoint),
            *_body_problems(request, endpoint),
            *_key_problems(request, key),
        )
    ]


def _header_problems(request: RecordedRequest, endpoint: Endpoint, key: str) -> Iterable[str]:
    given = {name.lower(): value for name, value in request.headers}
    if len(given) < len(request.headers):
        yield "a header stands twice"
    if given.get("host") != endpoint.host:
        yield f"the host header is {given.get('host')}"
    if int(given.get("content-length", "0")) != len(request.body):
        yield "content-length isn't the body's"
    if given.get(endpoint.key_header) != key:
        yield f"{endpoint.key_header} isn't the key"
    needed = [name for name in endpoint.headers if name not in given and name not in endpoint.oneOf]
    yield from (f"header {name} is missing" for name in needed)
    for name in given.keys() - _OF_HTTP - {endpoint.key_header}:
        if name not in endpoint.headers:
            yield f"header {name} isn't documented"
        else:
            schema = endpoint.headers[name]
            yield from _misfits(_read(given[name], schema), schema, f"header {name}")


def _query_problems(request: RecordedRequest, endpoint: Endpoint) -> Iterable[str]:
    _, question_mark, query = request.target.partition("?")
    if question_mark and not query:
        yield "an empty query"
    pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    if len(dict(pairs)) < len(pairs):
        yield "a parameter stands twice"
    documented = endpoint.query["properties"]
    values = {name: _read(value, documented.get(name, {})) for name, value in pairs}
    yield from _misfits(values, {"additionalProperties": False, **endpoint.query}, "parameters")


def _choice_problems(request: RecordedRequest, endpoint: Endpoint) -> Iterable[str]:
    given = [name.lower() for name, _ in request.headers]
    given += [name for name, _ in parse_qsl(request.target.partition("?")[2])]
    if endpoint.oneOf and sum(name in endpoint.oneOf for name in given) != 1:
        yield f"exactly one of {', '.join(endpoint.oneOf)} must be there"


def _body_problems(request: RecordedRequest, endpoint: Endpoint) -> Iterable[str]:
    if endpoint.body is None:
        if request.body:
            yield "it takes no body"
        return
    try:
        body = json.loads(request.body)
    except ValueError:
        yield "the body is no JSON"
        return
    yield from _misfits(body, endpoint.body, "body")


def _key_problems(request: RecordedRequest, key: str) -> Iterable[str]:
    if key in unquote_plus(request.target):
        yield "the key stands in the address"
    if key.encode() in request.body:
        yield "the key stands in the body"


def _misfits(value: Any, schema: Mapping[str, Any], where: str) -> Iterable[str]:
    for error in Draft202012Validator(schema).iter_errors(value):
        yield f"{where}{error.json_path.removeprefix('$')}: {error.message}"


def _read(text: str, schema: Mapping[str, Any]) -> Any:
    """A text as the type that is documented for it; as it is where it isn't of that type."""
    match schema.get("type"):
        case "integer" if re.fullmatch("-?[0-9]+", text):
            return int(text)
        case "boolean" if text in ("true", "false"):
            return text == "true"
        case "array":
            return text.split(",")
        case _:
            return text
