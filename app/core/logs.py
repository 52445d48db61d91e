"""Structured logs: one line an event, JSON for machines or console for people."""

import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

from app.core.repeats import ThrottlingHandler

REQUEST_ID = "request_id"
"""Under this name a request's id stands in logs, and in the headers of the tasks it starts."""


def configure_logs(
    level: str, form: Literal["json", "console"] | None = None, stream: TextIO | None = None
) -> None:
    """Send every log of this process, ours and the libraries', to stdout in one form.

    A command whose stdout is its result gives another stream.

    Without a form it is console on a terminal and JSON elsewhere.
    """
    stream = stream or sys.stdout
    form = form or ("console" if stream.isatty() else "json")
    shared = _shared_processors()
    handler = ThrottlingHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _stamp_as_created],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(form),
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
    """Let these libraries speak only of trouble, unless everything is wanted."""
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


def _stamp_as_created(_: object, __: str, event: EventDict) -> EventDict:
    """Stamp a library's line with its own time: one that sums up is written a minute later."""
    created = datetime.fromtimestamp(event["_record"].created, UTC)
    return {**event, "timestamp": created.isoformat(timespec="microseconds").replace("+00:00", "Z")}


def _renderers(form: Literal["json", "console"]) -> list[Processor]:
    if form == "console":
        plain = structlog.dev.plain_traceback  # the default one shows variables, secrets among them
        return [
            structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=plain)
        ]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
