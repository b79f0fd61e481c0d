"""Who serves which tools: one reading of the announcements after another, so that slow answers lose nobody.

Discovery is a question to all, and whoever answers late is missing from what it finds. An instance that was there
before and is missing is therefore asked by its own name: the server says at once when it is gone, and silence means
that it is only slow, or hangs.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from leadplan_bus.discovery import AnnouncedTool, read_announcement

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SECOND_ANSWER_SECONDS = 1.0
_MOST_SECOND_QUESTIONS = 256
"""Where more are missing at once, the others are taken for gone until they answer all by themselves."""
_SILENT_READINGS = 3
"""An instance that isn't gone and doesn't answer either counts as serving for so many readings."""


class ServedTool(NamedTuple):
    """A tool and what each instance that serves it says of it; at least one instance."""

    tool: str
    instances: tuple[AnnouncedTool, ...]

    @property
    def versions(self) -> Mapping[str, int]:
        """The versions that run, and how many instances of each."""
        return Counter(one.version for one in self.instances)

    @property
    def effects(self) -> frozenset[str]:
        """What they say of their effects; more than one where they don't agree."""
        return frozenset(one.effects for one in self.instances if one.effects is not None)

    @property
    def schemas(self) -> list[Any]:
        """The different schemas of params; they come from outside and may be no valid ones."""
        return list({repr(one.params_schema): one.params_schema for one in self.instances}.values())


_Instance: TypeAlias = tuple[str, str]
"""Service name and instance id."""


class ServedTools:
    """What is served, as far as is known from the readings so far.

    Args:
        nc: the connection.
        remembered_seconds: for so long ``is_known`` holds after a tool was seen last.
    """

    def __init__(self, nc: Client, remembered_seconds: float) -> None:
        self._nc = nc
        self._remembered_seconds = remembered_seconds
        self._instances: dict[_Instance, dict[str, AnnouncedTool]] = {}
        self._silent: Counter[_Instance] = Counter()
        self._seen_at: dict[str, float] = {}
        self.by_name: Mapping[str, ServedTool] = MappingProxyType({})

    def is_known(self, tool: str) -> bool:
        """Whether it is served, or was a moment ago, as while its only instance is started again."""
        seen_at = self._seen_at.get(tool)
        return seen_at is not None and time.monotonic() - seen_at <= self._remembered_seconds

    async def take(self, announced: Iterable[AnnouncedTool]) -> None:
        """Take what a question to all found, and ask those again who were there before and aren't now.

        Raises:
            nats.errors.Error: the connection is down; nothing has changed.
        """
        instances: dict[_Instance, dict[str, AnnouncedTool]] = {}
        for one in announced:
            instances.setdefault((one.service, one.instance), {})[one.tool] = one
        missing = [instance for instance in self._instances if instance not in instances]
        answers = await asyncio.gather(*map(self._ask_again, missing[:_MOST_SECOND_QUESTIONS]))
        silent: Counter[_Instance] = Counter()
        for instance, answer in zip(missing, answers, strict=False):
            if answer is not None:
                instances |= {instance: answer} if answer else {}
            elif self._silent[instance] + 1 < _SILENT_READINGS:
                silent[instance] = self._silent[instance] + 1
                instances[instance] = self._instances[instance]
        self._instances, self._silent = instances, silent
        self._note_tools()

    async def _ask_again(self, instance: _Instance) -> dict[str, AnnouncedTool] | None:
        """What one instance serves, nothing where it is gone; None where it doesn't answer."""
        service, id_ = instance
        if not _TOKEN.fullmatch(service) or not _TOKEN.fullmatch(id_):
            return {}
        try:
            reply = await self._nc.request(f"$SRV.INFO.{service}.{id_}", timeout=_SECOND_ANSWER_SECONDS)
        except NoRespondersError:
            return {}
        except NatsTimeoutError:
            return None
        said = read_announcement(reply.data)
        return {one.tool: one for one in said if (one.service, one.instance) == instance}

    def _note_tools(self) -> None:
        by_name: dict[str, list[AnnouncedTool]] = {}
        for said in self._instances.values():
            for tool, one in said.items():
                by_name.setdefault(tool, []).append(one)
        self.by_name = MappingProxyType({tool: ServedTool(tool, tuple(by_name[tool])) for tool in sorted(by_name)})
        now = time.monotonic()
        remembered = {tool: at for tool, at in self._seen_at.items() if now - at <= self._remembered_seconds}
        self._seen_at = {**remembered, **dict.fromkeys(by_name, now)}
