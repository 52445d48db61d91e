"""What others who do this job got wrong in their APIs; docs/defects.md lists it."""

import asyncio

import asyncpg

from tests.api.client import Api
from tests.repositories.rows import store

SESSIONS = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"
ABSURD = ["1e20", "-1e20", "9" * 19, "-" + "9" * 19, "9" * 400, "-" + "9" * 20, "NaN", "%00"]
PARAMETERS = {
    "/api/v1/prices": ("limit", "cursor", "order"),
    "/api/v1/prices/latest": ("max_age_seconds",),
    "/api/v1/prices/history": ("limit", "cursor"),
    "/api/v1/prices/period": ("from_dt", "to_dt", "limit", "cursor"),
    "/api/v1/prices/at": ("timestamp", "tolerance_seconds"),
}
MAX_PAUSE_SECONDS = 1.5
"""Half of what the health checks may take."""


async def test_requests_share_connections_that_stay_open(api: Api, sql: asyncpg.Connection) -> None:
    """Elsewhere every request made an engine of its own, and connected anew."""
    await store(sql, [60])
    before = await sql.fetchval(SESSIONS)
    for _ in range(12):
        assert (await api.get("/api/v1/prices?ticker=btc_usd")).status == 200
    assert await sql.fetchval(SESSIONS) - before <= 3


async def test_one_absurd_value_among_good_ones_is_refused(
    api: Api, sql: asyncpg.Connection
) -> None:
    """Elsewhere values beyond int64 were a 500; two bad values at once would hide one another."""
    await store(sql, [60])
    for path, names in PARAMETERS.items():
        moment = "&timestamp=60" if path.endswith("/at") else ""
        for name in names:
            others = "" if name == "timestamp" else moment
            for text in ABSURD:
                answer = await api.get(f"{path}?ticker=btc_usd{others}&{name}={text}")
                assert answer.status in {200, 404, 422}, (path, name, text, answer.body)


async def test_loop_goes_on_while_health_waits_for_the_database(
    api: Api, sql: asyncpg.Connection
) -> None:
    """Elsewhere a health route blocked the event loop; server and test share one here."""
    clock, longest = asyncio.get_running_loop().time, 0.0
    async with sql.transaction():
        await sql.execute("LOCK TABLE alembic_version")
        asked = asyncio.create_task(api.get("/health/ready"))
        while not asked.done():
            began = clock()
            await asyncio.sleep(0.01)
            longest = max(longest, clock() - began)
    assert (await asked).status == 503
    assert longest < MAX_PAUSE_SECONDS
