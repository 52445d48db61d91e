"""Times as they come in: UNIX seconds, UNIX milliseconds, or ISO 8601 (no zone means UTC)."""

import datetime as dt
import re

from app.domain.slots import MICROSECONDS

FIRST_MILLISECONDS = 100_000_000_000
"""From here on (5138 AD in seconds, 1973 in milliseconds) a number counts milliseconds."""
FIRST_SECOND = -62_135_596_800
"""The year 1 begins."""
LAST_SECOND = 253_402_300_799
"""The year 9999 ends."""
ZONE_AFTER_SPACE = re.compile(r"([T:][\d:.,]+) (\d\d(?::?\d\d){0,2})$")
"""An unescaped + in a URL arrives as a space; one between date and time is no such zone."""
WHOLE_NUMBER = re.compile(r"-?[0-9]{1,20}")
ALLOWED = "UNIX seconds, UNIX milliseconds, or ISO 8601 such as 2026-01-16T16:01:00Z"


def parse_moment(text: object) -> int:
    """Read a moment in one of the three forms; give microseconds since the epoch.

    Raises:
        ValueError: it is none of them, or lies outside the years 1 to 9999.
    """
    words = str(text).strip()
    moment_us = _number(words) if WHOLE_NUMBER.fullmatch(words) else _iso(words)
    if not FIRST_SECOND <= moment_us // MICROSECONDS <= LAST_SECOND:
        raise ValueError(f"must lie in the years 1 to 9999; allowed are {ALLOWED}")
    return moment_us


def _number(words: str) -> int:
    value = int(words)
    return value * 1000 if value >= FIRST_MILLISECONDS else value * MICROSECONDS


def _iso(words: str) -> int:
    try:
        moment = dt.datetime.fromisoformat(ZONE_AFTER_SPACE.sub(r"\1+\2", words))
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        return (zoned - dt.datetime.fromtimestamp(0, dt.UTC)) // dt.timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise ValueError(f"must be {ALLOWED}") from None


def seconds_from(moment_us: int) -> int:
    """Round up to the first whole second that is not before a moment."""
    return -(-moment_us // MICROSECONDS)


def seconds_until(moment_us: int) -> int:
    """Round down to the last whole second that is not after a moment."""
    return moment_us // MICROSECONDS
