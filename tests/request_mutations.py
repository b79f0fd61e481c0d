"""Requests with one thing wrong, made of right ones: what a checker of requests must see."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from recording_proxy import RecordedRequest

Mutation = tuple[str, RecordedRequest]
_UNFIT: dict[type, Any] = {str: 7, bool: "yes", int: "ten", float: "wide", list: {}, dict: []}


def mutations_of(request: RecordedRequest, key: str) -> Iterator[Mutation]:
    """Every wrong form of a request, with its name."""
    yield "another host", replace(request, host=f"www.{request.host}")
    yield "another method", replace(request, method="PUT")
    path, _, query = request.target.partition("?")
    yield "a longer path", replace(request, target=f"{path}/more{'?' if query else ''}{query}")
    yield from _of_headers(request, key)
    yield from _of_parameters(request, key)
    if request.body:
        yield from _of_body(request, key)
    else:
        yield "a body", _with_body(request, b"{}")


def _of_headers(request: RecordedRequest, key: str) -> Iterator[Mutation]:
    for at, (name, value) in enumerate(request.headers):
        others = request.headers[:at] + request.headers[at + 1 :]
        if name.lower() in ("host", "content-length", "content-type", "x-goog-fieldmask") or value == key:
            yield f"no {name}", replace(request, headers=others)
            yield f"another {name}", replace(request, headers=(*others, (name, "0")))
    for name in ("Authorization", "Cookie", "traceparent", "X-Debug"):
        yield f"{name} too", replace(request, headers=(*request.headers, (name, "x")))
    yield "a header twice", replace(request, headers=(*request.headers, request.headers[0]))


def _of_parameters(request: RecordedRequest, key: str) -> Iterator[Mutation]:
    path, _, query = request.target.partition("?")
    given = dict(parse_qsl(query))

    def asking(parameters: dict[str, str] | list[tuple[str, str]]) -> RecordedRequest:
        return replace(request, target=f"{path}?{urlencode(parameters)}")

    yield "a made-up parameter", asking({**given, "debug": "1"})
    yield "the key in the address", asking({**given, "api_key": key})
    yield "the key as a value", asking({**given, "company": key})
    for name, value in given.items():
        yield f"{name} empty", asking({**given, name: ""})
        yield f"{name} twice", asking([*given.items(), (name, value)])
        yield f"{name} misspelt", asking({**{k: v for k, v in given.items() if k != name}, f"{name}s": value})


def _of_body(request: RecordedRequest, key: str) -> Iterator[Mutation]:
    body = json.loads(request.body)
    yield "no body", _with_body(request, b"")
    yield "broken JSON", _with_body(request, request.body[:-1])
    yield "a list for a body", _with_body(request, json.dumps([body]).encode())
    yield "the key in the body", _with_body(request, json.dumps({**body, "key": key}).encode())
    for name, mutated in _wrong_values(body, "body"):
        yield name, _with_body(request, json.dumps(mutated).encode())


def _wrong_values(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """The value with one thing inside made wrong."""
    match value:
        case dict():
            yield f"{where} with a made-up field", {**value, "debug": True}
            for name, one in value.items():
                yield f"{where}.{name} of another type", {**value, name: _UNFIT[type(one)]}
                for inner, mutated in _wrong_values(one, f"{where}.{name}"):
                    yield inner, {**value, name: mutated}
        case list() if value:
            yield f"{where}[] with another type", [*value, _UNFIT[type(value[0])]]


def _with_body(request: RecordedRequest, body: bytes) -> RecordedRequest:
    headers = [(name, value) for name, value in request.headers if name.lower() != "content-length"]
    if body:
        headers.append(("Content-Length", str(len(body))))
    return replace(request, headers=tuple(headers), body=body)
