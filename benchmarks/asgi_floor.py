"""The floor: an ASGI function that answers a ready price, which no server here can outrun."""

from typing import Any

BODY = (
    b'{"exchange":"deribit","ticker":"btc_usd","timestamp":1768579260,"price":95123.45,'
    b'"source":"live","age_seconds":12,"stale":false}'
)
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401, ARG001  # ASGI, bare
    """Answer every request alike."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
