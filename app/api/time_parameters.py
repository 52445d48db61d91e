"""Moments and periods as parameters of a request."""

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
    ceil_seconds,
    floor_seconds,
    parse_time_point,
)

FORMS: Final = "UNIX seconds, milliseconds, ISO 8601, `now`, or back from now such as `-24h`"

MomentParameter = Annotated[
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


class Period(NamedTuple):
    """A period as it was asked for, and whether it moves with the clock."""

    span: TimeRange
    is_relative: bool


async def get_period(
    runtime: RuntimeDep,
    from_dt: Annotated[
        MomentParameter | None,
        Query(
            description=f"The first moment, inclusive: {FORMS}; a date alone means its start.",
            openapi_examples={"a day ago": {"value": "-24h"}},
        ),
    ] = None,
    to_dt: Annotated[
        MomentParameter | None,
        Query(
            description="The last moment, inclusive, in the same forms.",
            openapi_examples={"now": {"value": "now"}},
        ),
    ] = None,
) -> Period:
    now = runtime.now()
    start_us, end_us = (None if one is None else one.at(now) for one in (from_dt, to_dt))
    if start_us is not None and end_us is not None and start_us > end_us:
        raise ParametersInvalid({"from_dt": "must not be after to_dt"})
    start = None if start_us is None else ceil_seconds(start_us)
    end = None if end_us is None else floor_seconds(end_us)
    return Period(
        TimeRange(start, end), any(one is not None and one.is_relative for one in (from_dt, to_dt))
    )


PeriodDep = Annotated[Period, Depends(get_period)]
"""The period that `from_dt` and `to_dt` leave."""


async def get_span(period: PeriodDep) -> TimeRange:
    return period.span


SpanDep = Annotated[TimeRange, Depends(get_span)]
