"""Structured logs: one JSON object a line on standard error."""

import logging
import sys

import msgspec
import structlog


def configure_logs(level: str) -> None:
    """Log as JSON lines with timestamp, level, event and bound fields, from structlog and the standard library alike.

    Args:
        level: DEBUG, INFO, WARNING or ERROR.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
    ]
    rendered: list[structlog.typing.Processor] = [
        structlog.processors.dict_tracebacks,
        structlog.processors.JSONRenderer(serializer=_encode),
    ]
    # Past the standard library's records and handlers, which cost more than all the rest of a line.
    structlog.configure(
        processors=[*shared, *rendered],
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.dict_tracebacks,
                structlog.processors.JSONRenderer(serializer=lambda line, **_: _encode(line).decode()),
            ],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)


def _encode(line: object, **_: object) -> bytes:
    return msgspec.json.encode(line, enc_hook=repr)
