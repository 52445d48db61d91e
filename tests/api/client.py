"""A running API, and a client that sends URLs exactly as they are written."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from aiohttp import ClientSession, ClientTimeout
from yarl import URL

from app.core.settings import Settings


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer with its raw body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401  # whatever was sent
        return json.loads(self.body)

    @property
    def timestamps(self) -> list[int]:
        return [item["timestamp"] for item in self.json()["items"]]

    @property
    def code(self) -> str:
        """The code of a problem response, whose format is checked too."""
        body_json = self.json()
        assert self.headers["content-type"] == "application/problem+json"
        assert body_json["type"] == "about:blank"
        assert body_json["status"] == self.status
        assert body_json["title"]
        assert body_json["detail"]
        code: str = body_json["code"]
        return code

    @property
    def errors_by_parameter(self) -> dict[str, str]:
        """The messages of a 422, by parameter."""
        assert (self.status, self.code) == (422, "parameters_invalid")
        return {error["parameter"]: error["message"] for error in self.json()["errors"]}


class ApiClient:
    """A client of one server; it follows no redirects."""

    def __init__(self, session: ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.send("GET", path, headers=headers)

    async def post(self, path: str, key: str | None = "right-key", body: bytes = b"") -> Answer:
        headers = {} if key is None else {"X-API-Key": key}
        return await self.send("POST", path, headers=headers, body=body)

    async def status_of_raw_request(self, request: bytes) -> int:
        """Send raw bytes that no HTTP client would send, and return the status."""
        url = URL(self.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(request)
        status = int((await reader.readline()).split()[1])
        writer.close()
        await writer.wait_closed()
        return status

    async def send(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        url = URL(self.url + path, encoded=True)
        async with self._session.request(
            method, url, headers=headers, data=body or None, allow_redirects=False
        ) as response:
            headers_by_name = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, headers_by_name, await response.read())


@asynccontextmanager
async def open_api_client(url: str) -> AsyncIterator[ApiClient]:
    """Open a client of a server."""
    async with ClientSession(timeout=ClientTimeout(30)) as session:
        yield ApiClient(session, url)


@asynccontextmanager
async def running_api(settings: Settings) -> AsyncIterator[ApiClient]:
    """Serve the API in this event loop on a free port, with a client for it."""
    from app.main import create_app  # noqa: PLC0415  # Celery reads the environment at import

    config = uvicorn.Config(
        create_app(settings), port=0, log_config=None, access_log=False, ws="none", lifespan="on"
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(20):
            while not server.started:
                assert not running.done(), "it did not start: the log tells why"
                await asyncio.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with open_api_client(f"http://127.0.0.1:{port}") as api:
            yield api
    finally:
        server.should_exit = True
        await running
