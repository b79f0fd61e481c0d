"""Reading answers that nobody here controls: tolerant fields and failed answers."""

from datetime import date

import httpx
import pytest
from pydantic import Field, SecretStr

from leadplan_web_apis.failed_answer import FailedAnswer
from leadplan_web_apis.tolerant import ApiAnswer, ApiDay, Tolerant, TolerantList

KEY = "a-key-that-nobody-may-see"


class Item(ApiAnswer):
    id: int


class Dated(ApiAnswer):
    on: Tolerant[ApiDay] = None


class Page(ApiAnswer):
    total: Tolerant[int] = None
    items: TolerantList[Item] = Field(default_factory=list)


@pytest.mark.parametrize(
    ("answer", "total", "ids"),
    [
        ({"total": 2, "items": [{"id": 1}, {"id": 2}], "new": True}, 2, [1, 2]),
        ({}, None, []),
        ({"total": "many", "items": [{"id": 1}, {"id": "x"}, None, 5, {"id": 2}]}, None, [1, 2]),
        ({"total": {"n": 2}, "items": {"id": 1}}, None, []),
        ({"total": None, "items": None}, None, []),
    ],
)
def test_a_field_of_the_wrong_shape_is_missing_and_such_an_item_is_left_out(answer, total, ids):
    page = Page.model_validate(answer)
    assert (page.total, [item.id for item in page.items]) == (total, ids)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "999999"}, 86_400.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None),
        # What a proxy in front of an API may send.
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT", "Date": "Wed, 21 Oct 2026 07:28:30 GMT"}, 0.0),
    ],
)
def test_a_retry_after_is_seconds_or_a_date_and_a_day_at_most(headers, seconds):
    assert FailedAnswer.of(httpx.Response(429, headers=headers), SecretStr(KEY)).retry_after == seconds


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2026-11-02", date(2026, 11, 2)),
        ("2026-11-02 12:00:00 UTC", date(2026, 11, 2)),
        ("2026-11-02T12:00:00Z", date(2026, 11, 2)),
        ("2026-13-02", None),
        ("02/11/2026", None),
        ("1767225600", None),
        (1767225600, None),
        (None, None),
    ],
)
def test_a_day_is_the_beginning_of_a_date_or_time(value, day):
    assert Dated.model_validate({"on": value}).on == day


def test_a_failed_answer_holds_the_status_and_the_body_without_the_key():
    failed = FailedAnswer.of(httpx.Response(400, text=f"{KEY} may not, {KEY} must not"), SecretStr(KEY))
    assert failed == FailedAnswer(400, None, b"[API key] may not, [API key] must not")
