"""The reader: the record as the API serves it, with a cache beneath."""

from app.services.reader.cache import ReadCache
from app.services.reader.service import LatestPrice, PriceReader

__all__ = ["LatestPrice", "PriceReader", "ReadCache"]
