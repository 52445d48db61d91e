"""How a process ends when it can't work: with one line, in the form that LOG_FORMAT asks for."""

import json

from app.core.errors import AppError
from app.core.stated_settings import misspelled_settings, stated_log_format


def exit_message(error: AppError) -> str:
    """Give the line with which an error ends a command: `code: words`, or a JSON event."""
    return last_line(f"{error.code}: {error}", code=error.code)


def last_line(text: str, **fields: object) -> str:
    """Give the last line of a command that can't go on: as it is, or as a JSON event."""
    if stated_log_format() == "json":
        return event_line("process_ended", level="critical", detail=text, **fields)
    return text


def event_line(event: str, **fields: object) -> str:
    """Write an event as a log in JSON does, for processes without a log."""
    import structlog  # noqa: PLC0415  # 8 MB, which the supervisor does without

    stamped = structlog.processors.TimeStamper(fmt="iso", utc=True)(
        None, "", {**fields, "event": event}
    )
    return json.dumps(stamped, default=str)


def warn_of_misspelled_settings() -> None:
    """Log the names that are nearly a setting's, and so are ignored."""
    import structlog  # noqa: PLC0415  # same

    log = structlog.get_logger(__name__)
    for name, meant in misspelled_settings().items():
        log.warning("setting_unknown", name=name, meant=meant)
