"""The route that streams new prices."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from starlette.responses import StreamingResponse

from app.api.dependencies import RuntimeDep, TickersDep
from app.api.errors import TICKER_ERRORS, problem_responses
from app.api.event_stream import EventStreamResponse
from app.core.errors import ParametersInvalid, TooManyStreams
from app.domain.price_stream import MAX_POSITION_CHARACTERS, StreamPosition

EXAMPLE = """retry: 3000

id: WyI3NTA0…
event: price
data: {"exchange":"deribit","ticker":"btc_usd","timestamp":1768579260,"price":95123.45,"source":"live"}

"""  # noqa: E501  # a line of the stream
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events, until the client goes away.",
        "content": {
            "text/event-stream": {"schema": {"type": "string", "examples": [EXAMPLE]}},
        },
    }
}

router = APIRouter(
    prefix="/prices", tags=["prices"], responses=problem_responses(*TICKER_ERRORS, TooManyStreams)
)


@router.get(
    "/stream",
    summary="New prices as they are stored",
    response_class=StreamingResponse,
    responses=EVENTS,
)
async def stream_prices(
    runtime: RuntimeDep,
    keys: TickersDep,
    after: Annotated[
        str | None,
        Query(
            description="The id of an event, to go on after it.",
            max_length=MAX_POSITION_CHARACTERS,
        ),
    ] = None,
    last_event_id: Annotated[
        str | None,
        Header(
            description="The same, as browsers send it; it wins over `after`.",
            max_length=MAX_POSITION_CHARACTERS,
        ),
    ] = None,
) -> EventStreamResponse:
    """Server-Sent Events: `price` for each new live row, `repair` for repaired and imported ones.

    A client that comes back with the id of the last event gets every row once, of either kind. A
    position older than an hour, and one from before a restore, is answered with `reset`: the
    range to read again. The last event `closing` tells the reason.
    """
    for key in keys:
        await runtime.reader.require_known_ticker(key)
    name, text = ("last-event-id", last_event_id) if last_event_id else ("after", after)
    position = _parse_position(name, text) if text else None
    return EventStreamResponse(runtime.price_stream, keys, position)


def _parse_position(name: str, text: str) -> StreamPosition:
    try:
        return StreamPosition.decode(text)
    except ValueError:
        message = "is no position that this service gave out"
        raise ParametersInvalid({name: message}) from None
