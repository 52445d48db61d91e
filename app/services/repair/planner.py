"""What a repair has to do: the gaps of the tickers, and the exchange's present of each."""

from collections.abc import Collection, Sequence

from app.core.errors import TickerNotFound
from app.domain.prices import TickerKey, TimeRange
from app.domain.repairs import RepairPlan, RepairRequest
from app.domain.slots import MICROSECONDS, SECONDS_PER_HOUR, estimate_exchange_now_us
from app.postgres.database import Database
from app.repositories import gap_reasons, prices, recordings, retries


class RepairPlanner:
    """Finds what is missing of the tickers whose exchange is configured."""

    def __init__(
        self,
        database: Database,
        exchanges: Collection[str],
        keys: Sequence[TickerKey],
        lookback_hours: int,
    ) -> None:
        self._database = database
        self._exchanges = exchanges
        self._keys = keys
        self._lookback_hours = lookback_hours

    async def plan_lookback(self) -> RepairPlan:
        """Plan the repair of the last hours; gaps whose next retry is not due are left out.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        return await self._plan(RepairRequest(), self._lookback_hours, requested_since_us=None)

    async def plan_request(
        self, request: RepairRequest, *, requested_since_us: int | None = None
    ) -> RepairPlan:
        """Plan a requested repair.

        A forced one asks again for unfillable slots, except for those that the exchange was asked
        for after `requested_since_us` on the database's clock, or after now.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        return await self._plan(request, None, requested_since_us)

    async def require_known_ticker(self, request: RepairRequest) -> None:
        """Make sure that a request covers a ticker.

        Raises:
            TickerNotFound: no ticker of the request can be repaired.
        """
        known = await self._known_tickers()
        if (request.exchange or request.ticker) and not any(map(request.covers, known)):
            requested = f"{request.exchange or '*'}:{request.ticker or '*'}"
            names = ", ".join(sorted(map(str, known)))
            raise TickerNotFound(f"no ticker {requested} can be repaired; known are {names}")

    async def _known_tickers(self) -> set[TickerKey]:
        async with self._database.read() as session:
            recorded = await recordings.newest(session)
        return {key for key in {*recorded, *self._keys} if key.exchange in self._exchanges}

    async def _plan(
        self, request: RepairRequest, lookback_hours: int | None, requested_since_us: int | None
    ) -> RepairPlan:
        keys = [key for key in await self._known_tickers() if request.covers(key)]
        async with self._database.read() as session:
            database_us, latest_prices = await prices.read_latest_live(session, keys)
            exchange_now_us = {
                key: estimate_exchange_now_us(latest_prices.get(key), database_us) for key in keys
            }
            time_range = request.span
            if lookback_hours is not None:
                start = database_us // MICROSECONDS - lookback_hours * SECONDS_PER_HOUR
                time_range = TimeRange(start)
            gaps = await gap_reasons.find_gaps(
                session,
                exchange_now_us,
                time_range,
                asked_since_us=(requested_since_us or database_us) if request.force else None,
                listed=self._keys,
            )
            return RepairPlan(
                gaps,
                exchange_now_us,
                database_us,
                await retries.read_overlapping(session, gaps, time_range),
                forced=request.force,
                waits=lookback_hours is not None,
            )
