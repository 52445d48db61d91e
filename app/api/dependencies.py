"""Dependencies of the routes: the runtime, tickers, the API key."""

import hashlib
import hmac
from functools import cache
from typing import Annotated

from fastapi import Depends, Query, Request, Security
from fastapi.openapi.models import Example
from fastapi.security import APIKeyHeader
from pydantic import SecretStr, StringConstraints

from app.core.errors import KeyMissing, KeyRefused
from app.domain.prices import DEFAULT_EXCHANGE, TickerKey
from app.runtime import Runtime

NAME_CHARACTERS = r"[A-Za-z0-9_.\-]{1,64}"
NAME_PATTERN = f"^{NAME_CHARACTERS}$"
KEY_PATTERN = f"^({NAME_CHARACTERS}:)?{NAME_CHARACTERS}$"
MAX_TICKERS = 1_000
"""How many tickers one request may name."""
TICKER_EXAMPLES: dict[str, Example] = {"the demo's first": {"value": "btc_usd"}}

_key_header = APIKeyHeader(
    name="X-API-Key",
    auto_error=False,
    description="One of the keys in API_KEYS; `make run` and `make demo` print one.",
)


async def get_runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


ExchangeParameter = Annotated[
    str, Query(description="The exchange that quotes it.", pattern=NAME_PATTERN)
]


async def parse_ticker_key(
    ticker: Annotated[
        str,
        Query(
            description="The index, without regard to case.",
            pattern=NAME_PATTERN,
            openapi_examples=TICKER_EXAMPLES,
        ),
    ],
    exchange: ExchangeParameter = DEFAULT_EXCHANGE,
) -> TickerKey:
    return TickerKey(exchange.lower(), ticker.lower())


async def parse_ticker_keys(
    ticker: Annotated[
        list[Annotated[str, StringConstraints(pattern=KEY_PATTERN)]],
        Query(
            description="The index, without regard to case; give it again for each further one. "
            "One of another exchange is written `exchange:ticker`.",
            min_length=1,
            max_length=MAX_TICKERS,
            openapi_examples={"the demo's": {"value": ["btc_usd", "eth_usd"]}},
        ),
    ],
    exchange: ExchangeParameter = DEFAULT_EXCHANGE,
) -> list[TickerKey]:
    return [TickerKey.from_input(text, exchange) for text in ticker]


async def require_write_key(
    runtime: Annotated[Runtime, Depends(get_runtime)],
    key: Annotated[str | None, Security(_key_header)] = None,
) -> None:
    """Require one of the server's keys; their digests are compared in constant time.

    Raises:
        KeyMissing: the request has no key.
        KeyRefused: its key is not one of the server's, or the server has none.
    """
    allowed = _digests(runtime.settings.api_keys)
    if not allowed:
        raise KeyRefused("no key is set on this server: set API_KEYS to allow write requests")
    if key is None:
        raise KeyMissing("send one of the server's keys as X-API-Key")
    given = hashlib.sha256(key.encode("latin-1")).digest()  # headers are decoded as latin-1
    # with every digest, so that the time taken does not tell which one matched
    if not sum(hmac.compare_digest(given, digest) for digest in allowed):
        raise KeyRefused("this key is not one of the server's")


@cache
def _digests(keys: tuple[SecretStr, ...]) -> tuple[bytes, ...]:
    return tuple(hashlib.sha256(key.get_secret_value().encode()).digest() for key in keys)


TickersDep = Annotated[list[TickerKey], Depends(parse_ticker_keys)]
RuntimeDep = Annotated[Runtime, Depends(get_runtime)]
TickerDep = Annotated[TickerKey, Depends(parse_ticker_key)]
