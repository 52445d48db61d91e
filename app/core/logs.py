"""Structured logs: one line per event, JSON for machines or console for people."""

import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO, TypeAlias

import structlog
from structlog.typing import EventDict, Processor

from app.core.log_throttle import ThrottlingHandler
from app.core.raw_settings import colors_are_refused

LogFormat: TypeAlias = Literal["json", "console"]

REQUEST_ID = "request_id"
"""The name of a request's id in logs, and in the headers of the tasks that it starts."""


def configure_logs(
    level: str, log_format: LogFormat | None = None, stream: TextIO | None = None
) -> None:
    """Write every log of this process, ours and the libraries', to one stream in one format.

    Without a format it is console on a terminal and JSON elsewhere. Without a stream it is stdout;
    a command that prints its result there passes another one.
    """
    stream = stream or sys.stdout
    log_format = log_format or ("console" if stream.isatty() else "json")
    shared = _shared_processors()
    handler = ThrottlingHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _use_record_time],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(log_format, has_colors=stream.isatty() and not colors_are_refused()),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def quiet_loggers(*names: str) -> None:
    """Log only warnings and errors of these libraries, unless the level is debug."""
    if logging.getLogger().level > logging.DEBUG:
        for name in names:
            logging.getLogger(name).setLevel(logging.WARNING)


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _use_record_time(_: object, __: str, event: EventDict) -> EventDict:
    """Set the time at which a library logged; the throttle may write the line a minute later."""
    created = datetime.fromtimestamp(event["_record"].created, UTC)
    return {**event, "timestamp": created.isoformat(timespec="microseconds").replace("+00:00", "Z")}


def _renderers(log_format: LogFormat, *, has_colors: bool) -> list[Processor]:
    if log_format == "console":
        plain = structlog.dev.plain_traceback  # the default one shows variables, secrets among them
        return [structlog.dev.ConsoleRenderer(colors=has_colors, exception_formatter=plain)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
