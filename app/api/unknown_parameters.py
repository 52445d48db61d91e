"""Refuses unknown query parameters: ignoring a misspelled one would give a wrong answer."""

from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from app.core.errors import ParametersInvalid

SYNONYMS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("from", "start", "since", "begin", "after"), "from_dt"),
    **dict.fromkeys(("to", "end", "until", "before"), "to_dt"),
    **dict.fromkeys(("symbol", "pair", "index", "index_name", "instrument"), "ticker"),
    **dict.fromkeys(("time", "ts", "date", "moment", "at"), "timestamp"),
    **dict.fromkeys(("count", "size", "page_size", "per_page"), "limit"),
    **dict.fromkeys(("sort", "direction"), "order"),
    **dict.fromkeys(("resolution", "timeframe", "period"), "interval"),
    **dict.fromkeys(("offset", "page"), "cursor"),
    **dict.fromkeys(("max_age", "maxage"), "max_age_seconds"),
    **dict.fromkeys(("asof", "known_at", "valid_at", "snapshot"), "as_of"),
    **dict.fromkeys(("max_gap", "maxgap", "fill_limit"), "max_gap_seconds"),
    "venue": "exchange",
    "tolerance": "tolerance_seconds",
}
"""Names that other APIs use for our parameters."""
MIN_SIMILARITY: Final = 0.6
MAX_SHOWN_CHARACTERS: Final = 40


async def refuse_unknown_parameters(request: Request) -> None:
    """Refuse parameters that the route does not have, and repeated ones that it takes once.

    Raises:
        ParametersInvalid: there are such; its message names the nearest known parameter.
    """
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or not route.include_in_schema:
        return
    known = dict(_declared_parameters(route.dependant))
    given = Counter(name for name, _ in request.query_params.multi_items())
    errors = dict(_errors(given, known))
    if errors:
        raise ParametersInvalid(errors)


def closest_parameter(name: str, known: Mapping[str, bool]) -> str | None:
    """Return the known parameter that a name was likely meant for; None if none is close."""
    lowered = name.strip().lower().replace("-", "_")
    meant = SYNONYMS.get(lowered, lowered)
    if meant in known:
        return meant
    return next(iter(get_close_matches(lowered, known, n=1, cutoff=MIN_SIMILARITY)), None)


def _errors(given: Mapping[str, int], known: Mapping[str, bool]) -> Iterator[tuple[str, str]]:
    for name, times in given.items():
        if name not in known:
            yield name[:MAX_SHOWN_CHARACTERS], _unknown_message(name, known)
        elif times > 1 and not known[name]:
            yield name, f"is given {times} times, and may be given once"


def _unknown_message(name: str, known: Mapping[str, bool]) -> str:
    if not known:
        return "is unknown; there are no parameters here"
    meant = closest_parameter(name, known)
    hint = f"did you mean {meant}? Known" if meant else "known"
    return f"is unknown; {hint} are {', '.join(known)}"


def _declared_parameters(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Yield a route's parameters, and for each whether it may be repeated."""
    for part in dependant.dependencies:
        yield from _declared_parameters(part)
    for field in dependant.query_params:
        yield field.alias, get_origin(field.field_info.annotation) is list
