"""Leads, lists and suppressions as JSON lines and CSV."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, TextIO

import msgspec

from leadplan_contracts.times import format_time

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_PHONE_OR_NUMBER = re.compile(r"[+-][\d\s().-]+")


def json_line(value: Mapping[str, Any]) -> str:
    """One line of JSON with the names of the wire (camelCase); what isn't known is left out."""
    known = {_camel(name): _plain(item) for name, item in value.items() if item is not None}
    return msgspec.json.encode(known).decode()


def write_json_lines(out: TextIO, leads: Iterable[Mapping[str, Any]]) -> int:
    """Write each lead as one line of JSON; returns how many."""
    count = 0
    for count, lead in enumerate(leads, start=1):  # noqa: B007 - the last number is the answer
        out.write(f"{json_line(lead)}\n")
    return count


def write_csv(out: TextIO, columns: Sequence[str], leads: Iterable[Mapping[str, Any]], *, raw: bool) -> int:
    """Write RFC 4180 CSV with a header line; returns how many leads.

    Args:
        out: opened with ``newline=""``.
        columns: what is written of each lead, in this order.
        leads: any number, written as they come.
        raw: write values as they are. Else a spreadsheet program takes none of them for a formula: an apostrophe
            goes before a text that begins like one (as OWASP's page on CSV injection advises). Telephone numbers
            begin with a plus and can't call anything: they stay.
    """
    protect = str if raw else _protected
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    count = 0
    for count, lead in enumerate(leads, start=1):  # noqa: B007 - the last number is the answer
        writer.writerow([protect(_cell(lead[name])) for name in columns])
    return count


def day(time: datetime) -> str:
    """A time as people want it in a table, in UTC."""
    return f"{time:%Y-%m-%d %H:%M}"


def _protected(text: str) -> str:
    if text.startswith(_FORMULA_STARTS) and not _PHONE_OR_NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def _cell(value: Any) -> str:
    plain = _plain(value)
    if plain is None:
        return ""
    if isinstance(plain, list):
        return "; ".join(map(str, plain))
    if isinstance(plain, dict):
        return "; ".join(f"{name}={item}" for name, item in plain.items())
    return str(plain)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return format_time(int(value.timestamp() * 1000))
    if isinstance(value, date):
        return value.isoformat()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))
