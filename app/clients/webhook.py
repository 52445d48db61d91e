"""The HTTP endpoint that receives alerts."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

import aiohttp
from pydantic import SecretStr

TIMEOUT_SECONDS: Final = 5.0


class Webhook:
    """Posts JSON to one URL. It may hold a token, so it is never shown."""

    def __init__(self, session: aiohttp.ClientSession, url: SecretStr) -> None:
        self._session = session
        self._url = url

    async def post(self, body: Mapping[str, object]) -> str:
        """Post a body; return why it failed, or an empty string after any 2xx status.

        Redirects are not followed.
        """
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                url = self._url.get_secret_value()
                async with self._session.post(url, json=body, allow_redirects=False) as response:
                    status = response.status
        except TimeoutError:
            return f"no answer within {TIMEOUT_SECONDS:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:  # Value: a bad host name
            return type(error).__name__  # its text holds the URL
        is_accepted = HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES
        return "" if is_accepted else f"the endpoint answered HTTP {status}"


@asynccontextmanager
async def open_webhook(url: SecretStr) -> AsyncIterator[Webhook]:
    """Open a session in the running event loop; it ignores the environment and keeps no cookies."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Webhook(session, url)
