"""Queries of health checks: limited and measured in time, with trouble in words."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeVar

import structlog

from app.core.errors import AppError
from app.domain.health import NO_ANSWER_IN_TIME

QUERY_TIMEOUT_SECONDS = 3.0

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A query's result and how long it took; without a result, the trouble in words."""

    result: T | None = None
    seconds: float | None = None
    trouble: str = ""


async def run_timed(query: Awaitable[T]) -> Answer[T]:
    """Run a query, and never raise."""
    started_at = monotonic()
    try:
        async with asyncio.timeout(QUERY_TIMEOUT_SECONDS):
            result = await query
    except (AppError, TimeoutError) as error:
        return Answer(trouble=str(error) or NO_ANSWER_IN_TIME)
    except Exception as error:
        log.exception("health_query_broke")  # the health routes and the alerts must go on
        return Answer(trouble=f"could not be asked: {type(error).__name__}, the log tells more")
    return Answer(result, monotonic() - started_at)
