"""The last line of a process that can't run, formatted as LOG_FORMAT requests."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from app.core.errors import AppError
from app.core.raw_settings import misspelled_settings, raw_log_format


@contextmanager
def exiting_on_errors() -> Iterator[None]:
    """End the process with one line if the block raises an AppError."""
    try:
        yield
    except AppError as error:
        raise SystemExit(exit_message(error)) from None


def exit_message(error: AppError) -> str:
    """Format an error that ends a command: `code: message`, or a JSON event."""
    return final_message(f"{error.code}: {error}", code=error.code)


def final_message(text: str, **json_fields: object) -> str:
    """Format the last line of a command that can't continue: plain text, or a JSON event."""
    if raw_log_format() == "json":
        return json_event("process_ended", level="critical", detail=text, **json_fields)
    return text


def json_event(event: str, **fields: object) -> str:
    """Format an event like a JSON log line, for processes without configured logs."""
    import structlog  # noqa: PLC0415  # 8 MB, which the supervisor does without

    stamped = structlog.processors.TimeStamper(fmt="iso", utc=True)(
        None, "", {**fields, "event": event}
    )
    return json.dumps(stamped, default=str)


def warn_of_misspelled_settings() -> None:
    """Log the names that nearly match a setting and are therefore ignored."""
    import structlog  # noqa: PLC0415  # same

    log = structlog.get_logger(__name__)
    for name, meant in misspelled_settings().items():
        log.warning("setting_unknown", name=name, meant=meant)
