"""JSON log lines on standard error for processes whose libraries log with the standard library.

structlog would do it too, but importing it imports rich: most of a tool's start-up time.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

LOG_LEVEL_VARIABLE = "LEADPLAN_LOG_LEVEL"
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One record as one line of JSON: timestamp, level, logger, event, and what ``extra`` held."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line: dict[str, Any] = {
            "timestamp": at,
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _OWN_FIELDS})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def log_level(environ: Mapping[str, str] = os.environ) -> str:
    """``LEADPLAN_LOG_LEVEL``, INFO by default.

    Raises:
        leadplan_responder.ConfigurationError: it is none of DEBUG, INFO, WARNING, ERROR.
    """
    from leadplan_responder import ConfigurationError  # noqa: PLC0415 - a process that serves tools has it anyway

    level = environ.get(LOG_LEVEL_VARIABLE, "INFO")
    if level not in _LEVELS:
        raise ConfigurationError(f"{LOG_LEVEL_VARIABLE} must be one of {', '.join(_LEVELS)}, not {level!r}")
    return level


def configure(level: str) -> None:
    """Send every logger's records as JSON lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # At INFO they write each request's address, and with it the query: names and mail addresses of people.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
