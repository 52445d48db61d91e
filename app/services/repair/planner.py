"""What a repair has to do: the gaps of the tickers, and the exchange's current time of each."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from app.core.errors import TickerNotFound
from app.domain.gaps import Retry, count_slots, subtract
from app.domain.prices import TickerKey, TimeRange
from app.domain.repairs import RepairPlan, RepairRequest
from app.domain.slots import MICROSECONDS, SECONDS_PER_HOUR
from app.postgres.database import Database
from app.repositories import gaps_with_reasons, prices, recordings, unfillable_and_retries


@dataclass(frozen=True, slots=True)
class RepairPlanner:
    """Finds what is missing of the tickers whose exchange is configured."""

    database: Database
    exchanges: Collection[str]
    keys: Sequence[TickerKey]
    lookback_hours: int

    async def plan_lookback(self) -> RepairPlan:
        """Plan the repair of the last hours; gaps whose next retry is not due are left out.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self.database.read_committed() as session:
            now = await prices.database_now_us(session) // MICROSECONDS
        start = now - self.lookback_hours * SECONDS_PER_HOUR
        plan = await self.plan(RepairRequest(span=TimeRange(start)))
        due = dict(plan.pending_gaps)
        for key, known in plan.retries.items():
            not_due = [retry for retry in known if retry.next_us > plan.database_us]
            due[key] = subtract(due.get(key, []), not_due)
        return replace(plan, pending_gaps={key: gaps for key, gaps in due.items() if gaps})

    async def plan(
        self, request: RepairRequest, *, requested_since_us: int | None = None
    ) -> RepairPlan:
        """Plan a requested repair.

        A forced one asks again for unfillable slots, except for those that the exchange was asked
        for after `requested_since_us` on the database's clock, or after now.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        keys = [key for key in await self._known_tickers() if request.covers(key)]
        async with self.database.read_committed() as session:
            database_us = await prices.database_now_us(session)
            exchange_now_us = await prices.estimate_exchange_now(session, keys)
            found = await gaps_with_reasons.find_gaps(
                session,
                exchange_now_us,
                request.span,
                asked_since_us=(requested_since_us or database_us) if request.force else None,
                listed=self.keys,
            )
            known = await unfillable_and_retries.read_overlapping(
                session, Retry, found, request.span
            )
        pending = {key: [gap for gap in gaps if gap.is_pending] for key, gaps in found.items()}
        total = sum(map(count_slots, pending.values()))
        return RepairPlan(
            pending_gaps={key: gaps for key, gaps in pending.items() if gaps},
            total=total,
            given_up=sum(map(count_slots, found.values())) - total,
            exchange_now_us=exchange_now_us,
            database_us=database_us,
            retries=known,
            forced=request.force,
        )

    async def require_known_ticker(self, request: RepairRequest) -> None:
        """Make sure that a request covers a ticker.

        Raises:
            TickerNotFound: no ticker of the request can be repaired.
        """
        known = await self._known_tickers()
        if (request.exchange or request.ticker) and not any(map(request.covers, known)):
            requested = ":".join(filter(None, (request.exchange, request.ticker)))
            names = ", ".join(sorted(map(str, known)))
            raise TickerNotFound(f"nothing of {requested} can be repaired; known are {names}")

    async def _known_tickers(self) -> set[TickerKey]:
        async with self.database.read_committed() as session:
            recorded = await recordings.newest(session)
        return {key for key in {*recorded, *self.keys} if key.exchange in self.exchanges}
