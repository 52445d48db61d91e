"""Absurd values of parameters are refused with 422, never a 500."""

import asyncpg

from tests.api.client import ApiClient
from tests.repositories.rows import store

ABSURD = ["1e20", "-1e20", "9" * 19, "-" + "9" * 19, "9" * 400, "-" + "9" * 20, "NaN", "%00"]
PARAMETERS = {
    "/api/v1/prices": ("limit", "cursor", "order"),
    "/api/v1/prices/latest": ("max_age_seconds",),
    "/api/v1/prices/history": ("limit", "cursor"),
    "/api/v1/prices/period": ("from_dt", "to_dt", "limit", "cursor"),
    "/api/v1/prices/at": ("timestamp", "tolerance_seconds"),
}


async def test_one_absurd_value_among_good_ones_is_refused(
    api: ApiClient, sql: asyncpg.Connection
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
