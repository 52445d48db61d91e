"""HTTP to an exchange: one session, its proxy, its redirects, and every way in which it fails."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache
from http import HTTPStatus
from typing import Final, NamedTuple

import aiohttp
from yarl import URL

from app import __version__
from app.core.errors import (
    AnswerMalformed,
    ExchangeError,
    ExchangeTimeout,
    ExchangeUnreachable,
    ProxyRefused,
    RedirectRefused,
)
from app.core.settings import Settings
from app.core.urls import Proxy

USER_AGENT: Final = f"deribit-price-collector/{__version__}"
KEEP_ALIVE_SECONDS: Final = 14.0
"""Deribit closes idle connections after 15 s; ours go first."""
MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
MAX_REDIRECTS: Final = 3
LOGIN_WANTED: Final = frozenset({401, 407})
"""What proxies answer to a wrong login; tinyproxy says 401 where others say 407."""
ADDRESSES: Final = 4_096
"""That are put together once: putting one together takes as long as parsing its answer."""
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
UNLIMITED: Final = aiohttp.ClientTimeout(total=None, sock_connect=None)


class HttpAnswer(NamedTuple):
    """An answer of any status, read to its end; `retry_after` is the header of that name."""

    status: int
    body: bytes
    retry_after: str | None = None


class Transport:
    """Asks URLs through one session, and gives every failure its name."""

    def __init__(
        self, session: aiohttp.ClientSession, proxy: Proxy | None, timeout_seconds: float
    ) -> None:
        self._session = session
        self._proxy = proxy
        self._login = _login(proxy)
        self._timeout_seconds = timeout_seconds

    async def get(self, url: str, params: Mapping[str, str]) -> HttpAnswer:
        """GET a URL; connecting, redirects and reading together take the timeout at most.

        Raises:
            ExchangeError: no whole answer came; its text shows neither URLs nor credentials.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._follow(_address(url, tuple(params.items())))
        except TimeoutError as error:
            raise ExchangeTimeout(f"no answer within {self._timeout_seconds:g} s") from error
        except aiohttp.ClientHttpProxyError as error:
            raise self._proxy_error(error.status) from None  # which holds the headers that we sent
        except aiohttp.ClientPayloadError as error:
            raise AnswerMalformed("the connection was cut within the answer") from error
        except aiohttp.ClientResponseError:
            raise AnswerMalformed("the answer is not HTTP") from None  # same
        except (aiohttp.ClientError, OSError, UnicodeError) as error:  # Unicode: of a host's name
            raise ExchangeUnreachable(_reason(error)) from error

    async def _follow(self, url: URL) -> HttpAnswer:
        """GET with redirects followed by hand, so that none leads away from https."""
        for _ in range(MAX_REDIRECTS + 1):
            async with self._request(url) as response:
                if self._proxy and _is_from_proxy(response):
                    raise self._proxy_error(response.status)
                if response.status not in REDIRECTS:
                    return await _read(response)
                url = _target(url, response.headers.get("Location", ""))
        raise RedirectRefused(f"more than {MAX_REDIRECTS} redirects")

    def _request(self, url: URL) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Begin one GET; of both parties, only the proxy sees the proxy's credentials."""
        if self._proxy is None:
            return self._session.get(url, allow_redirects=False)
        is_tunnelled = url.scheme == "https"
        return self._session.get(
            url,
            allow_redirects=False,
            headers={} if is_tunnelled else self._login,
            proxy=self._proxy.url,
            proxy_headers={"User-Agent": USER_AGENT, **self._login} if is_tunnelled else None,
        )

    def _proxy_error(self, status: int) -> ExchangeError:
        if status not in LOGIN_WANTED:
            return ExchangeUnreachable(f"the proxy answers HTTP {status}")
        verb = "refuses" if self._login else "asks for"
        return ProxyRefused(f"the proxy {verb} PROXY_USERNAME and PROXY_PASSWORD (HTTP {status})")


def _is_from_proxy(response: aiohttp.ClientResponse) -> bool:
    """Tell a proxy's refusal from an answer of the exchange, which is JSON under any status."""
    if response.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return True
    return response.status in LOGIN_WANTED and response.content_type != "application/json"


@asynccontextmanager
async def open_transport(settings: Settings) -> AsyncIterator[Transport]:
    """Open a session in the running event loop; it takes nothing from the environment."""
    connector = aiohttp.TCPConnector(
        limit=settings.exchange_connections, keepalive_timeout=KEEP_ALIVE_SECONDS
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=UNLIMITED,  # ours spans redirects, aiohttp's would start anew at each
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": USER_AGENT},
    ) as session:
        yield Transport(session, settings.proxy, settings.request_timeout_seconds)


def _login(proxy: Proxy | None) -> dict[str, str]:
    if proxy is None or proxy.username is None:
        return {}
    password = proxy.password.get_secret_value()
    return {"Proxy-Authorization": aiohttp.encode_basic_auth(proxy.username, password)}


async def _read(response: aiohttp.ClientResponse) -> HttpAnswer:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise AnswerMalformed(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
    return HttpAnswer(response.status, bytes(body), response.headers.get("Retry-After"))


@lru_cache(maxsize=ADDRESSES)
def _address(url: str, params: tuple[tuple[str, str], ...]) -> URL:
    return URL(url).with_query(params)


def _target(url: URL, location: str) -> URL:
    try:
        target = url.join(URL(location))
    except ValueError:
        raise RedirectRefused("a redirect to no URL") from None
    if not location or target.scheme != "https" or not target.host:
        raise RedirectRefused("a redirect to anything but https is not followed")
    return target


def _reason(error: Exception) -> str:
    """Name what failed without the URL, which is ours to show or not."""
    cause = error.__cause__ or getattr(error, "os_error", None) or error
    words = cause.strerror if isinstance(cause, OSError) else None
    return f"{type(error).__name__}: {words or type(cause).__name__}"
