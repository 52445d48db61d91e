"""Reads the Accept-Encoding header."""

import re
from typing import Final

ZERO_WEIGHT: Final = re.compile(r"\s*q\s*=\s*0(\.0*)?\s*")


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether a client accepts gzip, that is names it with a weight above 0."""
    for offer in accept_encoding.lower().split(","):
        name, _, weight = offer.partition(";")
        if name.strip() in {"gzip", "x-gzip"}:
            return not ZERO_WEIGHT.fullmatch(weight)
    return False
