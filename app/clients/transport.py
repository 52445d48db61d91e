"""HTTP to an exchange: one session, with a proxy, redirects, and errors of the application."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
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
"""Deribit closes idle connections after 15 s; we close them before."""
MAX_BODY_BYTES: Final = 8 * 1024 * 1024
MAX_REDIRECTS: Final = 3
PROXY_LOGIN_STATUSES: Final = frozenset({401, 407})
"""The statuses of a proxy that refuses a login: 407, but 401 from tinyproxy."""
REDIRECT_STATUSES: Final = frozenset({301, 302, 303, 307, 308})
NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=None)


class HttpResponse(NamedTuple):
    """A response of any status with its whole body; `retry_after` is the Retry-After header."""

    status: int
    body: bytes
    retry_after: str | None = None


class Transport:
    """GETs URLs through one session, and maps its errors to ExchangeError."""

    def __init__(
        self, session: aiohttp.ClientSession, proxy: Proxy | None, timeout_seconds: float
    ) -> None:
        self._session = session
        self._proxy = proxy
        self._login = _proxy_login(proxy)
        self._timeout_seconds = timeout_seconds

    async def get(self, url: str, params: Mapping[str, str]) -> HttpResponse:
        """GET a URL; connecting, redirects and reading share one timeout.

        Raises:
            ExchangeError: no complete response; its text shows neither URLs nor credentials.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._get_following_redirects(URL(url).with_query(params))
        except TimeoutError as error:
            raise ExchangeTimeout(f"no answer within {self._timeout_seconds:g} s") from error
        except aiohttp.ClientHttpProxyError as error:
            raise self._proxy_error(error.status) from None  # it holds the request's headers
        except aiohttp.ClientPayloadError as error:
            raise AnswerMalformed("the connection was cut within the answer") from error
        except aiohttp.ClientResponseError:
            raise AnswerMalformed("the answer is not HTTP") from None  # it, too
        except (aiohttp.ClientError, OSError, UnicodeError) as error:  # Unicode: a bad host name
            raise ExchangeUnreachable(_describe(error)) from error

    async def _get_following_redirects(self, url: URL) -> HttpResponse:
        """GET a URL and follow redirects here, because aiohttp would follow one away from https."""
        for _ in range(MAX_REDIRECTS + 1):
            async with self._request(url) as response:
                if self._proxy and _is_proxy_refusal(response):
                    raise self._proxy_error(response.status)
                if response.status not in REDIRECT_STATUSES:
                    return await _read_response(response)
                url = _redirect_target(url, response.headers.get("Location", ""))
        raise RedirectRefused(f"more than {MAX_REDIRECTS} redirects")

    def _request(self, url: URL) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Start one GET; only the proxy gets the proxy's credentials, never the exchange."""
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
        if status not in PROXY_LOGIN_STATUSES:
            return ExchangeUnreachable(f"the proxy answers HTTP {status}")
        verb = "refuses" if self._login else "asks for"
        return ProxyRefused(f"the proxy {verb} PROXY_USERNAME and PROXY_PASSWORD (HTTP {status})")


def _is_proxy_refusal(response: aiohttp.ClientResponse) -> bool:
    """Distinguish a proxy's refusal from a response of the exchange, which is always JSON."""
    if response.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return True
    return response.status in PROXY_LOGIN_STATUSES and response.content_type != "application/json"


@asynccontextmanager
async def open_transport(settings: Settings) -> AsyncIterator[Transport]:
    """Open a session in the running event loop; it ignores the environment, such as HTTP_PROXY."""
    connector = aiohttp.TCPConnector(
        limit=settings.exchange_connections, keepalive_timeout=KEEP_ALIVE_SECONDS
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=NO_TIMEOUT,  # ours spans redirects; aiohttp's would restart at each
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": USER_AGENT},
    ) as session:
        yield Transport(session, settings.proxy, settings.request_timeout_seconds)


def _proxy_login(proxy: Proxy | None) -> dict[str, str]:
    if proxy is None or proxy.username is None:
        return {}
    password = proxy.password.get_secret_value()
    return {"Proxy-Authorization": aiohttp.encode_basic_auth(proxy.username, password)}


async def _read_response(response: aiohttp.ClientResponse) -> HttpResponse:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise AnswerMalformed(f"an answer of more than {MAX_BODY_BYTES} bytes")
    return HttpResponse(response.status, bytes(body), response.headers.get("Retry-After"))


def _redirect_target(url: URL, location: str) -> URL:
    try:
        target = url.join(URL(location))
    except ValueError:
        raise RedirectRefused("a redirect to no URL") from None
    if not location or target.scheme != "https" or not target.host:
        raise RedirectRefused("a redirect to anything but https is not followed")
    return target


def _describe(error: Exception) -> str:
    """Describe the failure without its URL, which may be secret."""
    cause = error.__cause__ or getattr(error, "os_error", None) or error
    detail = cause.strerror if isinstance(cause, OSError) else None
    return f"{type(error).__name__}: {detail or type(cause).__name__}"
