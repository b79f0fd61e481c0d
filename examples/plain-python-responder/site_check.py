"""Serves SITE_CHECK on NATS with nats-py alone, as docs/tool-protocol.md says: it says which web sites answer."""

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import time
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

log = logging.getLogger("site-check")

TOOL = "SITE_CHECK"
MAX_IN_FLIGHT = int(os.environ.get("MAX_IN_FLIGHT", "10"))
GRACE_SECONDS = int(os.environ.get("GRACE_MS", "10000")) / 1000
SIGN_OF_LIFE_SECONDS = 5.0  # after the first one, 15 s without any count as a dead tool
BUSY_RETRY_MS = 250
LONGEST_VISIT_SECONDS = 5.0
DEFAULT_WAIT_SECONDS = 30
PARAMS_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "urls": {
            "description": "Sites to visit.",
            "type": "array",
            "items": {"type": "string", "pattern": "^https?://"},
            "minItems": 1,
            "maxItems": 100,
        },
        "sourceStepId": {"description": "A place search: its places' websites are visited.", "type": "string"},
    },
    "oneOf": [{"required": ["urls"]}, {"required": ["sourceStepId"]}],
    "additionalProperties": False,
}


# --- what the tool does; nothing here knows of NATS


class ToolError(Exception):
    """Why a step wasn't done, as the reply says it."""

    def __init__(self, code: str, message: str, *, retryable: bool = False, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.reply: dict[str, Any] = {
            "success": False,
            "errorMessage": message,
            "errorCode": code,
            "retryable": retryable,
        }
        if retry_after_ms is not None:
            self.reply["retryAfterMs"] = retry_after_ms


def is_web_address(value: Any) -> bool:
    """Whether it is an address that this tool may visit."""
    return isinstance(value, str) and re.match("https?://", value) is not None


def sites_of(params: dict[str, Any], prior_results: dict[str, Any]) -> list[str]:
    """The sites that a request names."""
    for name in params.keys() - {"urls", "sourceStepId"}:
        raise ToolError("invalid_params", f"params.{name} isn't known")
    if ("urls" in params) == ("sourceStepId" in params):
        raise ToolError("invalid_params", "give either params.urls or params.sourceStepId")
    if "urls" in params:
        urls = params["urls"]
        if not isinstance(urls, list) or not 1 <= len(urls) <= 100 or not all(map(is_web_address, urls)):
            text = "params.urls must be 1 to 100 texts that begin with http:// or https://"
            raise ToolError("invalid_params", text)
        return urls
    step_id = params["sourceStepId"]
    source = (prior_results.get(step_id) if isinstance(step_id, str) else None) or {}
    if source.get("dataRef"):
        text = f"the data of step {step_id} is in the object store, which this tool doesn't read: search for less"
        raise ToolError("source_too_large", text)
    data = source.get("data")
    places = data.get("places") if isinstance(data, dict) else None
    if not isinstance(places, list):
        raise ToolError("unreadable_source", f"step {step_id} has no list of places")
    return [place["website"] for place in places if isinstance(place, dict) and is_web_address(place.get("website"))]


def visit(url: str) -> dict[str, Any]:
    """Visit one site; this blocks, so it runs in a thread."""
    try:
        with urllib.request.urlopen(url, timeout=LONGEST_VISIT_SECONDS) as response:  # noqa: S310 - http and https only
            page = response.read(65_536).decode(errors="replace")
            title = re.search("<title[^>]*>([^<]*)", page, re.IGNORECASE)
            site = {"url": url, "reachable": True, "status": response.status}
            return {**site, "title": title[1].strip()[:200]} if title and title[1].strip() else site
    except urllib.error.HTTPError as error:
        with error:
            if error.code in (429, 503):
                waiting = error.headers.get("Retry-After", "")
                seconds = int(waiting) if waiting.isdecimal() else DEFAULT_WAIT_SECONDS
                text = f"{url} answered {error.code}"
                raise ToolError("rate_limited", text, retryable=True, retry_after_ms=seconds * 1000) from None
            return {"url": url, "reachable": False, "status": error.code}
    except TimeoutError:
        return {"url": url, "reachable": False, "reason": "no answer in time"}
    except (OSError, ValueError):
        return {"url": url, "reachable": False, "reason": "no connection"}


# --- the protocol


class Call:
    """A request under way."""

    def __init__(self, nc: Client, reply_to: str, request: dict[str, Any]) -> None:
        self.key = request["idempotencyKey"]
        self.ended_by: ToolError | None = None
        self._nc = nc
        self._reply_to = reply_to
        self._request = request
        self.work = asyncio.create_task(self._check_sites())
        self.answered = asyncio.create_task(self._answer())

    def end(self, why: ToolError) -> None:
        """End the work early. A visit that blocks its thread goes on for a moment; nobody waits for it."""
        self.ended_by = self.ended_by or why
        self.work.cancel()

    async def _check_sites(self) -> dict[str, Any]:
        urls = sites_of(self._request["params"], self._request.get("priorResults") or {})
        sites = []
        for url in urls:
            sites.append(await asyncio.to_thread(visit, url))
            progress = {"progress": len(sites) / len(urls), "message": f"{len(sites)} of {len(urls)} sites"}
            await self._sign_of_life(json.dumps(progress).encode())
        return {"sites": sites, "reachable": sum(site["reachable"] for site in sites)}

    async def _answer(self) -> None:
        """Signs of life while the work goes on, then one reply."""
        deadline = time.monotonic() + self._request["timeoutMs"] / 1000
        await self._sign_of_life()
        while not self.work.done():
            left = deadline - time.monotonic()
            if left <= 0:
                text = "the sites didn't answer within the attempt's time"
                self.end(ToolError("timeout", text, retryable=True))
            await asyncio.wait({self.work}, timeout=min(max(left, 0.1), SIGN_OF_LIFE_SECONDS))
            if not self.work.done():
                await self._sign_of_life()
        await self._send(self._reply())

    def _reply(self) -> dict[str, Any]:
        try:
            return {"success": True, "data": self.work.result()}
        except ToolError as failure:
            return failure.reply
        except asyncio.CancelledError:
            return (self.ended_by or ToolError("stopping", "the tool is being stopped", retryable=True)).reply
        except Exception:
            log.exception("unexpected error")  # details go to the log: they may hold secrets
            return ToolError("internal_error", f"{TOOL} failed unexpectedly", retryable=True).reply

    async def _send(self, reply: dict[str, Any]) -> None:
        """What doesn't fit into one message is said to be too large."""
        body = json.dumps(reply).encode()
        if len(body) > self._nc.max_payload:
            body = json.dumps(ToolError("result_too_large", "ask for fewer sites").reply).encode()
        await self._nc.publish(self._reply_to, body)

    async def _sign_of_life(self, progress: bytes = b"") -> None:
        await self._nc.publish(self._reply_to, progress, headers={"Leadplan-Reply": "working"})


def read_request(body: bytes) -> dict[str, Any] | None:
    """The request, or None when it is none; fields that this tool doesn't know are ignored."""
    try:
        request = json.loads(body)
        valid = isinstance(request["idempotencyKey"], str) and isinstance(request["params"], dict)
        return request if valid and isinstance(request["timeoutMs"], int) else None
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


class Responder:
    """Serves the tool on a connection, as a NATS micro service."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._calls: set[Call] = set()
        self._stopping = False
        self._requests = 0
        self._identity = {"name": "site-check", "id": uuid.uuid4().hex, "version": "1.0.0", "metadata": {}}
        self._endpoint = {"name": TOOL, "subject": f"tools.{TOOL}", "queue_group": "q"}
        self._started = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    async def start(self) -> None:
        """Take requests, hear cancel notices, answer discovery."""
        self._taking = await self._nc.subscribe(f"tools.{TOOL}", queue="q", cb=self._take)
        await self._nc.subscribe(f"tools.{TOOL}.cancel", cb=self._take_cancel_notice)  # every process hears it
        for verb in ("PING", "INFO", "STATS"):
            name, instance = self._identity["name"], self._identity["id"]
            for subject in (f"$SRV.{verb}", f"$SRV.{verb}.{name}", f"$SRV.{verb}.{name}.{instance}"):
                await self._nc.subscribe(subject, cb=self._describe)
        await self._nc.flush()

    async def stop(self) -> None:
        """No new work; what runs may finish within the grace time; the rest is answered, too."""
        self._stopping = True  # what has come in already is answered busy
        # Not drain(): nats-py sends its PING ahead of what waits to be sent, so a request could be lost in between.
        await self._nc._send_unsubscribe(self._taking._id)
        await self._nc.flush()
        await self._nc.flush()
        answers = {call.answered for call in self._calls}
        if answers:
            await asyncio.wait(answers, timeout=GRACE_SECONDS)
        for call in self._calls:
            call.end(ToolError("stopping", "the tool is being stopped", retryable=True))
        await asyncio.gather(*answers)
        await self._nc.drain()

    async def _take(self, message: Msg) -> None:
        """Returns at once: nats-py calls it for one message at a time."""
        self._requests += 1
        request = read_request(message.data)
        if request is None:
            await message.respond(json.dumps(ToolError("bad_request", "this is no request").reply).encode())
        elif self._stopping or len(self._calls) >= MAX_IN_FLIGHT:
            busy = {"success": False, "errorCode": "busy", "retryAfterMs": BUSY_RETRY_MS}
            await message.respond(json.dumps(busy).encode())
        else:
            call = Call(self._nc, message.reply, request)
            self._calls.add(call)
            call.answered.add_done_callback(lambda _: self._calls.discard(call))

    async def _take_cancel_notice(self, message: Msg) -> None:
        with contextlib.suppress(ValueError, LookupError, TypeError, RecursionError):
            key = json.loads(message.data)["idempotencyKey"]
            for call in self._calls:
                if call.key == key:
                    call.end(ToolError("cancelled", "the plan was cancelled"))

    async def _describe(self, message: Msg) -> None:
        """Answer $SRV.PING, $SRV.INFO and $SRV.STATS."""
        verb = message.subject.split(".")[1]
        answer: dict[str, Any] = {"type": f"io.nats.micro.v1.{verb.lower()}_response", **self._identity}
        if verb == "INFO":
            metadata = {"tool": TOOL, "params_schema": json.dumps(PARAMS_SCHEMA), "effects": "none"}
            answer["description"] = "Says which web sites answer"
            answer["endpoints"] = [{**self._endpoint, "metadata": metadata}]
        elif verb == "STATS":
            answer["started"] = self._started
            answer["endpoints"] = [{**self._endpoint, "num_requests": self._requests, "num_errors": 0}]
        await message.respond(json.dumps(answer).encode())


async def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO)
    servers = os.environ.get("NATS_URL", "nats://127.0.0.1:4222").split(",")
    nc = await nats.connect(servers, name="site-check", max_reconnect_attempts=-1)
    responder = Responder(nc)
    await responder.start()
    log.info("serving")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await responder.stop()


if __name__ == "__main__":
    asyncio.run(main())
