"""Timestamps and ranges of time as parameters of a request."""

from typing import Annotated, Final, NamedTuple

from fastapi import Depends, Query
from pydantic import PlainValidator, WithJsonSchema

from app.api.dependencies import RuntimeDep
from app.core.errors import ParametersInvalid
from app.domain.prices import TimeRange
from app.domain.times import (
    BACK_FROM_NOW,
    FIRST_SECOND,
    LAST_SECOND,
    NOW,
    TimePoint,
    parse_time_point,
    resolve_range,
)

TIMESTAMP_FORMATS: Final = (
    "UNIX seconds, milliseconds, ISO 8601, `now`, or back from now such as `-24h` or `-3h30m`"
)

TimestampParameter = Annotated[
    TimePoint,
    PlainValidator(parse_time_point),
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "integer",
                    "minimum": FIRST_SECOND,
                    "maximum": LAST_SECOND * 1000 + 999,
                },
                {"type": "string", "format": "date-time"},
                {"type": "string", "format": "date"},
                {"type": "string", "pattern": f"^({NOW}|{BACK_FROM_NOW.pattern})$"},
            ],
            "examples": ["-24h", 1768579260, "2026-01-16T16:01:00Z"],
        }
    ),
]


class RequestedRange(NamedTuple):
    """The range of time of a request, and whether it moves with the clock."""

    time_range: TimeRange
    is_relative: bool


async def get_requested_range(
    runtime: RuntimeDep,
    from_dt: Annotated[
        TimestampParameter | None,
        Query(
            description=f"The first moment, inclusive: {TIMESTAMP_FORMATS}; a date alone means its "
            "start.",
            openapi_examples={"a day ago": {"value": "-24h"}},
        ),
    ] = None,
    to_dt: Annotated[
        TimestampParameter | None,
        Query(
            description="The last moment, inclusive, in the same forms.",
            openapi_examples={"now": {"value": "now"}},
        ),
    ] = None,
) -> RequestedRange:
    try:
        time_range = resolve_range(from_dt, to_dt, runtime.now())
    except ValueError:
        raise ParametersInvalid({"from_dt": "must not be after to_dt"}) from None
    is_relative = any(point is not None and point.is_relative for point in (from_dt, to_dt))
    return RequestedRange(time_range, is_relative)


RequestedRangeDep = Annotated[RequestedRange, Depends(get_requested_range)]


async def get_as_of(
    runtime: RuntimeDep,
    as_of: Annotated[
        TimestampParameter | None,
        Query(
            description="Only rows that were stored by this moment, in the same forms: what was "
            "known then. It must not lie in the future.",
            openapi_examples={"now": {"value": "now"}},
        ),
    ] = None,
) -> int | None:
    return None if as_of is None else as_of.at(runtime.now())


AsOfDep = Annotated[int | None, Depends(get_as_of)]
"""The moment `as_of` in microseconds since the epoch; None if it is left out."""


async def get_time_range(requested: RequestedRangeDep) -> TimeRange:
    return requested.time_range


TimeRangeDep = Annotated[TimeRange, Depends(get_time_range)]
"""The range of time from `from_dt` to `to_dt`."""
