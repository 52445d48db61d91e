"""The stream of new rows: one query for all who follow it, whatever their number.

docs/adr/0020 tells what a position is, and why no row is skipped or sent twice.
"""

from app.services.price_stream.service import PriceStream
from app.services.price_stream.subscription import Subscription

__all__ = ["PriceStream", "Subscription"]
