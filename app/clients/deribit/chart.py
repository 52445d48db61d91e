"""Deribit's chart of an index, read from the answer to get_index_chart_data.

Its result is `[[timestamp in ms, mean price], …]`, ascending; the steps are not documented, and the
hour that was recorded has one point every six seconds (docs/repair.md).
"""

from decimal import Decimal
from itertools import pairwise
from typing import Final

from app.clients.deribit.envelope import Envelope
from app.clients.price_validation import require_price
from app.core.errors import AnswerMalformed
from app.domain.charts import Chart, ChartRange
from app.domain.slots import SECONDS_PER_DAY

RANGES: Final = (
    ChartRange("1h", 3_600, 6),
    ChartRange("1d", SECONDS_PER_DAY, 60),
    ChartRange("2d", 2 * SECONDS_PER_DAY, 300),
    ChartRange("1m", 30 * SECONDS_PER_DAY, 3_600),
    ChartRange("1y", 365 * SECONDS_PER_DAY, SECONDS_PER_DAY),
    ChartRange("all", None, SECONDS_PER_DAY),
)
"""With their usual steps (docs/repair.md): they tell what is worth waiting for, never a value."""
FARTHEST_AHEAD_US: Final = SECONDS_PER_DAY * 1_000_000
"""A point may bear the end of a step that still runs, and none is known to be longer."""


def read_chart(envelope: Envelope) -> Chart:
    """Read a whole chart; one point that makes no sense spoils it.

    Raises:
        AnswerMalformed: it is not a list of ascending points up to the present.
        PriceRefused: a price makes no sense.
    """
    exchange_now_us = envelope.observed_us
    if exchange_now_us is None:
        raise AnswerMalformed("a chart without usOut can't be placed in time")
    if not isinstance(envelope.result, list):
        raise AnswerMalformed("the chart is no list")
    points = [_read_point(point) for point in envelope.result]
    stamps = [stamp for stamp, _ in points]
    if any(later <= earlier for earlier, later in pairwise(stamps)):
        raise AnswerMalformed("the points of the chart do not ascend")
    if stamps and stamps[-1] > exchange_now_us + FARTHEST_AHEAD_US:
        raise AnswerMalformed("the chart reaches into the future")
    return Chart(stamps, [price for _, price in points], exchange_now_us)


def _read_point(point: object) -> tuple[int, Decimal]:
    """Read a point; its stamp becomes microseconds."""
    match point:
        case [int(stamp_ms), price] if not isinstance(stamp_ms, bool) and stamp_ms > 0:
            return stamp_ms * 1_000, require_price(price)
    raise AnswerMalformed("a point of the chart is no pair of a stamp and a price")
