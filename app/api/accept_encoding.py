"""Which encodings of an answer a client takes."""

import re
from typing import Final

NO_WEIGHT: Final = re.compile(r"\s*q\s*=\s*0(\.0*)?\s*")


def takes_gzip(accepted: str) -> bool:
    """Tell whether a client asks for gzip, and not with a weight of 0."""
    for offer in accepted.lower().split(","):
        name, _, weight = offer.partition(";")
        if name.strip() in {"gzip", "x-gzip"}:
            return not NO_WEIGHT.fullmatch(weight)
    return False
