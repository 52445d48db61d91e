"""Times as text: UNIX seconds or milliseconds, ISO 8601 (no zone means UTC), `-24h`; rounding."""

import datetime as dt
import re
from contextlib import suppress
from typing import Final

from app.domain.prices import TimeRange
from app.domain.slots import MICROSECONDS, SECONDS_PER_DAY, SECONDS_PER_HOUR

MIN_MILLISECONDS = 100_000_000_000
"""From here on (5138 AD in seconds, 1973 in milliseconds) a number counts milliseconds."""
FIRST_SECOND = -62_135_596_800
"""The year 1 begins."""
LAST_SECOND = 253_402_300_799
"""The year 9999 ends."""
ZONE_AFTER_SPACE = re.compile(r"([T:][\d:.,]+) (\d\d(?::?\d\d){0,2})$")
"""An unescaped + in a URL arrives as a space; one between date and time is no such zone."""
WHOLE_NUMBER = re.compile(r"-?[0-9]{1,20}")
EIGHT_DIGITS = re.compile(r"[0-9]{8}")
YEAR = re.compile(r"(19|20)[0-9]{2}")
ALLOWED = "UNIX seconds, UNIX milliseconds, or ISO 8601 such as 2026-01-16T16:01:00Z"
NOW: Final = "now"
DURATION_PART: Final = re.compile(r"([0-9]{1,9})([smhdw])")
BACK_FROM_NOW: Final = re.compile(r"-(?:[0-9]{1,9}[smhdw]){1,5}")
SECONDS_OF_UNIT: Final = {
    "s": 1,
    "m": 60,
    "h": SECONDS_PER_HOUR,
    "d": SECONDS_PER_DAY,
    "w": 7 * SECONDS_PER_DAY,
}


class TimePoint:
    """A point in time in microseconds since the epoch or, if it is relative, since now.

    A plain class, because FastAPI takes no tuple or dataclass for a query parameter.
    """

    __slots__ = ("is_relative", "microseconds")

    def __init__(self, microseconds: int, *, is_relative: bool = False) -> None:
        self.microseconds = microseconds
        self.is_relative = is_relative

    def at(self, now: float) -> int:
        """Return it in microseconds since the epoch; `now` is in UNIX seconds.

        A relative one becomes a whole second, and is never before the year 1.
        """
        if not self.is_relative:
            return self.microseconds
        return max(int(now) * MICROSECONDS + self.microseconds, FIRST_SECOND * MICROSECONDS)


def parse_time_point(text: object) -> TimePoint:
    """Parse a timestamp in one of the three formats, `now`, or a time back from now like `-3h30m`.

    Raises:
        ValueError: it is none of them, outside the years 1 to 9999, or a year alone.
    """
    words = str(text).strip()
    if YEAR.fullmatch(words):
        raise ValueError(f"is a year; its first moment is {words}-01-01")
    if words == NOW:
        return TimePoint(0, is_relative=True)
    if BACK_FROM_NOW.fullmatch(words):
        return TimePoint(-_sum_durations(words) * MICROSECONDS, is_relative=True)
    try:
        return TimePoint(parse_timestamp_us(words))
    except ValueError as error:
        raise ValueError(f"{error}, {NOW}, or back from now such as -24h or -3h30m") from None


def parse_timestamp_us(text: object) -> int:
    """Parse a timestamp in one of the three formats into microseconds since the epoch.

    Eight digits that form a date are a date, and not seconds of the year 1970.

    Raises:
        ValueError: it is none of them, or outside the years 1 to 9999.
    """
    words = str(text).strip()
    is_number = WHOLE_NUMBER.fullmatch(words) and not is_date(words)
    timestamp_us = _parse_number(words) if is_number else _parse_iso(words)
    if not FIRST_SECOND <= timestamp_us // MICROSECONDS <= LAST_SECOND:
        raise ValueError(f"must lie in the years 1 to 9999; allowed are {ALLOWED}")
    return timestamp_us


def resolve_range(start: TimePoint | None, end: TimePoint | None, now: float) -> TimeRange:
    """Return the whole seconds from one point in time to another; None leaves an end open.

    Raises:
        ValueError: the start is after the end.
    """
    start_us, end_us = (None if point is None else point.at(now) for point in (start, end))
    if start_us is not None and end_us is not None and start_us > end_us:
        raise ValueError("the start is after the end")
    return TimeRange(
        None if start_us is None else ceil_seconds(start_us),
        None if end_us is None else floor_seconds(end_us),
    )


def is_date(words: str) -> bool:
    """Return whether these are eight digits that form a date, such as 20261001."""
    with suppress(ValueError):
        return bool(EIGHT_DIGITS.fullmatch(words) and dt.date.fromisoformat(words))
    return False


def format_seconds(seconds: int) -> str:
    """Format UNIX seconds so that they are parsed as the same again."""
    return format_utc(seconds) if is_date(str(seconds)) else str(seconds)


def format_utc(seconds: int) -> str:
    """Format UNIX seconds in ISO 8601."""
    timestamp = dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(seconds=seconds)
    return timestamp.isoformat().replace("+00:00", "Z")


def ceil_seconds(timestamp_us: int) -> int:
    """Round up to the first whole second that is not before a timestamp."""
    return -(-timestamp_us // MICROSECONDS)


def floor_seconds(timestamp_us: int) -> int:
    """Round down to the last whole second that is not after a timestamp."""
    return timestamp_us // MICROSECONDS


def _sum_durations(words: str) -> int:
    parts = DURATION_PART.findall(words)
    return sum(int(number) * SECONDS_OF_UNIT[unit] for number, unit in parts)


def _parse_number(words: str) -> int:
    value = int(words)
    return value * 1000 if value >= MIN_MILLISECONDS else value * MICROSECONDS


def _parse_iso(words: str) -> int:
    try:
        timestamp = dt.datetime.fromisoformat(ZONE_AFTER_SPACE.sub(r"\1+\2", words))
        zoned = timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=dt.UTC)
        return (zoned - dt.datetime.fromtimestamp(0, dt.UTC)) // dt.timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise ValueError(f"must be {ALLOWED}") from None
