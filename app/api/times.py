"""Moments and periods as parameters of a request."""

from typing import Annotated

from fastapi import Depends, Query
from pydantic import BeforeValidator, WithJsonSchema

from app.core.errors import ParametersInvalid
from app.domain.prices import Span
from app.domain.times import (
    FIRST_SECOND,
    LAST_SECOND,
    parse_moment,
    seconds_from,
    seconds_until,
)

Moment = Annotated[
    int,
    BeforeValidator(parse_moment),
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
            ],
            "examples": [1768579260, "2026-01-16T16:01:00Z"],
        }
    ),
]
"""A moment in microseconds since the epoch."""


async def get_span(
    from_dt: Annotated[
        Moment | None,
        Query(
            description="The first moment, inclusive: UNIX seconds, milliseconds or ISO 8601; "
            "a date alone means its start.",
            examples=[1768579260],
        ),
    ] = None,
    to_dt: Annotated[
        Moment | None,
        Query(
            description="The last moment, inclusive, in the same forms.",
            examples=["2026-01-16T16:01:00Z"],
        ),
    ] = None,
) -> Span:
    if from_dt is not None and to_dt is not None and from_dt > to_dt:
        raise ParametersInvalid({"from_dt": "must not be after to_dt"})
    start = None if from_dt is None else seconds_from(from_dt)
    end = None if to_dt is None else seconds_until(to_dt)
    return Span(start, end)


SpanDep = Annotated[Span, Depends(get_span)]
"""The period that `from_dt` and `to_dt` leave."""
