"""Readable log lines for a responder that is run as a plain script."""

import logging
import sys

_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _WithFields(logging.Formatter):
    """A line with what stands in ``extra`` behind it, as ``key=value``."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - overrides the standard library's
        fields = [f"{key}={value}" for key, value in vars(record).items() if key not in _OWN_FIELDS]
        return " ".join([super().formatMessage(record), *fields])


def configure() -> None:
    """Write our own records from INFO on and others' warnings to standard error, unless logging is set up already.

    Others' at INFO can hold what logs must not: httpx writes whole addresses, keys in the query included.
    """
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_WithFields("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    logging.getLogger("leadplan").setLevel(logging.INFO)
