"""The chart of an index: means of the price over steps, as get_index_chart_data sends them."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from app.simulator.prices import index_mean

DAY: Final = 86_400
LAUNCH: Final = int(datetime(2017, 1, 1, tzinfo=UTC).timestamp())
"""The day this exchange's history starts with."""

DEFAULT_STEPS: Final = {"1h": 6, "1d": 60, "2d": 300, "1m": 3_600, "1y": DAY, "all": DAY}
_LENGTHS: Final = {"1h": 3_600, "1d": DAY, "2d": 2 * DAY, "1m": 30 * DAY, "1y": 365 * DAY}


def chart(name: str, span: str, step: int, now: int) -> str:
    """Write the points `[timestamp_ms, mean]` of every whole step within the range up to now.

    A point bears the end of its step: with it the recorded hour (first point 59:51 before its
    capture, steps of six seconds) is a run of whole steps, with the start it is not.
    """
    first = now - _LENGTHS[span] if span in _LENGTHS else LAUNCH
    ends = range(-(-first // step) * step + step, now + 1, step)
    return "[" + ",".join([_point(name, end, step) for end in ends]) + "]"


def validate_chart_step(span: str, step: object) -> None:
    """Refuse a range that isn't Deribit's, and a step that isn't whole seconds."""
    if span not in DEFAULT_STEPS:
        raise ValueError(f"chart step: {span!r} is none of {', '.join(DEFAULT_STEPS)}")
    if not isinstance(step, int) or isinstance(step, bool) or step < 1:
        raise ValueError(f"chart step of {span}: {step!r} is not a whole number of seconds above 0")


@lru_cache(maxsize=100_000)
def _point(name: str, end: int, step: int) -> str:
    return f"[{end * 1000},{index_mean(name, end - step, step)}]"
