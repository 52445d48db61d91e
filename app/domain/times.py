"""Times as they come in: UNIX seconds or milliseconds, ISO 8601 (no zone means UTC), or `-24h`."""

import datetime as dt
import re
from typing import Final

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
EIGHT_DIGITS = re.compile(r"[0-9]{8}")
ALLOWED = "UNIX seconds, UNIX milliseconds, or ISO 8601 such as 2026-01-16T16:01:00Z"
NOW: Final = "now"
BACK: Final = re.compile(r"-([0-9]{1,9})([smhdw])")
SECONDS_OF_UNIT: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class TimePoint:
    """A moment in microseconds: since the epoch, or, where it is relative, since now."""

    __slots__ = ("is_relative", "microseconds")

    def __init__(self, microseconds: int, *, is_relative: bool = False) -> None:
        self.microseconds = microseconds
        self.is_relative = is_relative

    def at(self, now: float) -> int:
        """Give it in microseconds since the epoch; `now` is the reader's clock in UNIX seconds.

        A relative one is a whole second, and never lies before the year 1.
        """
        if not self.is_relative:
            return self.microseconds
        return max(int(now) * MICROSECONDS + self.microseconds, FIRST_SECOND * MICROSECONDS)


def parse_time_point(text: object) -> TimePoint:
    """Read a moment in one of the three forms, `now`, or one back from now such as `-24h`.

    Raises:
        ValueError: it is none of them, or lies outside the years 1 to 9999.
    """
    words = str(text).strip()
    if words == NOW:
        return TimePoint(0, is_relative=True)
    if match := BACK.fullmatch(words):
        seconds = int(match[1]) * SECONDS_OF_UNIT[match[2]]
        return TimePoint(-seconds * MICROSECONDS, is_relative=True)
    try:
        return TimePoint(parse_timestamp_us(words))
    except ValueError as error:
        raise ValueError(f"{error}, {NOW}, or back from now such as -24h") from None


def parse_timestamp_us(text: object) -> int:
    """Read a moment in one of the three forms; give microseconds since the epoch.

    Eight digits that make a date are one, and no seconds of the year 1970 or so.

    Raises:
        ValueError: it is none of them, or lies outside the years 1 to 9999.
    """
    words = str(text).strip()
    is_number = WHOLE_NUMBER.fullmatch(words) and not is_date(words)
    moment_us = _number(words) if is_number else _iso(words)
    if not FIRST_SECOND <= moment_us // MICROSECONDS <= LAST_SECOND:
        raise ValueError(f"must lie in the years 1 to 9999; allowed are {ALLOWED}")
    return moment_us


def is_date(words: str) -> bool:
    """Tell whether these are eight digits that make a date, such as 20261001."""
    if not EIGHT_DIGITS.fullmatch(words):
        return False
    try:
        dt.date.fromisoformat(words)
    except ValueError:
        return False
    return True


def format_seconds(seconds: int) -> str:
    """Write UNIX seconds so that they are read as the same again."""
    return format_utc(seconds) if is_date(str(seconds)) else str(seconds)


def format_utc(seconds: int) -> str:
    """Write UNIX seconds in ISO 8601."""
    moment = dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(seconds=seconds)
    return moment.isoformat().replace("+00:00", "Z")


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


def ceil_seconds(moment_us: int) -> int:
    """Round up to the first whole second that is not before a moment."""
    return -(-moment_us // MICROSECONDS)


def floor_seconds(moment_us: int) -> int:
    """Round down to the last whole second that is not after a moment."""
    return moment_us // MICROSECONDS
