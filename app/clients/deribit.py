"""Deribit's public HTTP API v2 (docs.deribit.com), as far as an index recorder needs it."""

from decimal import Decimal
from http import HTTPStatus
from typing import Self
from urllib.parse import urljoin, urlsplit

import aiohttp

from app.clients.base import Gate
from app.clients.envelope import Envelope, parse_envelope
from app.core.errors import (
    AnswerMalformed,
    EnvironmentMismatch,
    ExchangeError,
    ExchangeTimeout,
    ExchangeUnreachable,
    PriceRefused,
    ProxyRefused,
    RedirectRefused,
)
from app.core.settings import Settings
from app.domain.prices import Quote, TickerKey

KEEP_ALIVE_SECONDS = 14.0
"""Deribit closes idle connections after 15 s; ours go first."""
LONGEST_ANSWER_BYTES = 8 * 1024 * 1024
MOST_REDIRECTS = 3
REDIRECTION = 3
HIGHEST_PRICE = Decimal(10) ** 12
MOST_DECIMAL_PLACES = 40


class DeribitClient:
    """One session to Deribit; a process has one, opened in its event loop."""

    def __init__(self, settings: Settings, gate: Gate) -> None:
        self.name = settings.deribit_name
        self._base_url = settings.deribit_base_url
        self._is_testnet = self.name != "deribit"
        self._gate = gate
        self._timeout = aiohttp.ClientTimeout(total=settings.request_timeout_seconds)
        self._connections = settings.exchange_connections
        self._proxy = settings.proxy_url
        self._proxy_authorization = _authorization(settings)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections, keepalive_timeout=KEEP_ALIVE_SECONDS
            ),
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def index_price(self, ticker: str) -> Quote:
        """Ask the present price of an index, stamped with the exchange's clock.

        Raises:
            ExchangeError: no usable answer; `retryable` tells whether to ask again.
        """
        envelope = await self._ask("get_index_price", {"index_name": ticker})
        if envelope.observed_us is None:
            raise AnswerMalformed("an answer without usOut can't be placed in time")
        return Quote(TickerKey(self.name, ticker), _read_price(envelope), envelope.observed_us)

    async def index_names(self) -> frozenset[str]:
        """Ask which indices exist; the answer holds names, or objects with a name.

        Raises:
            ExchangeError: no usable answer.
        """
        envelope = await self._ask("get_index_price_names", {})
        if not isinstance(envelope.result, list):
            raise AnswerMalformed("the index names are no list")
        return frozenset(map(_read_name, envelope.result))

    async def _ask(self, method: str, params: dict[str, str]) -> Envelope:
        url = f"{self._base_url}/public/{method}"
        async with self._gate.admit():
            try:
                status, body = await self._get(url, params)
            except TimeoutError as error:
                raise ExchangeTimeout(f"no answer within {self._timeout.total:g} s") from error
            except aiohttp.ClientHttpProxyError as error:
                raise _proxy_error(error.status) from error
            except aiohttp.ClientPayloadError as error:
                raise AnswerMalformed("the connection was cut within the answer") from error
            except (aiohttp.ClientError, OSError) as error:
                raise ExchangeUnreachable(_reason(error)) from error
        envelope = parse_envelope(status, body)
        self._require_environment(envelope)
        return envelope

    async def _get(self, url: str, params: dict[str, str]) -> tuple[int, bytes]:
        """GET with redirects followed by hand, so that none leads away from https."""
        if self._session is None:
            raise ExchangeUnreachable("the client is not open")
        for _ in range(MOST_REDIRECTS + 1):
            headers, proxy_headers = self._credentials(url)
            async with self._session.get(
                url,
                params=params,
                allow_redirects=False,
                headers=headers,
                proxy=self._proxy,
                proxy_headers=proxy_headers,
            ) as response:
                if response.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
                    raise _proxy_error(response.status)
                if response.status // 100 != REDIRECTION:
                    return response.status, await _read_body(response)
                url, params = _follow(url, response.headers.get("Location")), {}
        raise RedirectRefused(f"more than {MOST_REDIRECTS} redirects")

    def _credentials(self, url: str) -> tuple[dict[str, str], dict[str, str]]:
        """Give the headers of the request and of CONNECT: only the proxy sees its credentials."""
        if self._proxy_authorization is None:
            return {}, {}
        credentials = {"Proxy-Authorization": self._proxy_authorization}
        return ({}, credentials) if urlsplit(url).scheme == "https" else (credentials, {})

    def _require_environment(self, envelope: Envelope) -> None:
        if envelope.testnet is not None and envelope.testnet is not self._is_testnet:
            found = "testnet" if envelope.testnet else "production"
            raise EnvironmentMismatch(f"DERIBIT_BASE_URL gave {found} prices for {self.name!r}")


def _authorization(settings: Settings) -> str | None:
    if settings.proxy_username is None:
        return None
    password = settings.proxy_password.get_secret_value() if settings.proxy_password else ""
    return aiohttp.encode_basic_auth(settings.proxy_username, password)


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LONGEST_ANSWER_BYTES:
            raise AnswerMalformed(f"an answer of more than {LONGEST_ANSWER_BYTES} bytes")
    return bytes(body)


def _follow(url: str, location: str | None) -> str:
    target = urljoin(url, location or "")
    if location is None or urlsplit(target).scheme != "https":
        raise RedirectRefused("a redirect to anything but https is not followed")
    return target


def _read_price(envelope: Envelope) -> Decimal:
    result = envelope.result
    value = result.get("index_price") if isinstance(result, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise AnswerMalformed("no number as index_price")
    price = Decimal(value)
    places = price.as_tuple().exponent
    fine = price.is_finite() and isinstance(places, int) and places >= -MOST_DECIMAL_PLACES
    if not fine or not 0 < price <= HIGHEST_PRICE:
        raise PriceRefused(f"a price of {str(value)[:40]}")
    return price


def _read_name(item: object) -> str:
    name = item.get("name") if isinstance(item, dict) else item
    if not isinstance(name, str):
        raise AnswerMalformed("an index name that is no text")
    return name


def _proxy_error(status: int) -> ExchangeError:
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return ProxyRefused("the proxy refuses PROXY_USERNAME and PROXY_PASSWORD (HTTP 407)")
    return ExchangeUnreachable(f"the proxy answers HTTP {status}")


def _reason(error: Exception) -> str:
    """Name what failed without the URL, which may hold a proxy's credentials."""
    cause = error.__cause__ or getattr(error, "os_error", None) or error
    words = (
        cause.strerror if isinstance(cause, OSError) and cause.strerror else type(cause).__name__
    )
    return f"{type(error).__name__}: {words}"
