"""Reads as of a past moment: only rows that were stored by then, see ADR 24."""

import datetime as dt

from app.domain.prices import TimeRange
from app.domain.slots import TIMESTAMP_TOLERANCE_US
from app.domain.times import floor_seconds

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def to_datetime(timestamp_us: int) -> dt.datetime:
    """Convert microseconds since the epoch exactly."""
    return _EPOCH + dt.timedelta(microseconds=timestamp_us)


def format_exactly(timestamp_us: int) -> str:
    """Format microseconds since the epoch in ISO 8601, with a fraction where there is one."""
    return to_datetime(timestamp_us).isoformat().replace("+00:00", "Z")


def last_second_known(as_of_us: int) -> int:
    """Return the last second that a row stored by this moment can have.

    An exchange's clock is believed if it is at most an hour ahead of the database's.
    """
    return floor_seconds(as_of_us + TIMESTAMP_TOLERANCE_US)


def limit_to_known(time_range: TimeRange, as_of_us: int | None) -> TimeRange:
    """End a range at the last second that can be known; None limits nothing.

    Without it, the newest row of an old moment would be searched among all rows since.
    """
    if as_of_us is None:
        return time_range
    last = last_second_known(as_of_us)
    return time_range._replace(end=last if time_range.end is None else min(time_range.end, last))
