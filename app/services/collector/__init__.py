"""Collection: each tick stores the price of every slot that is due, exactly once.

The database determines which slots are due, and the exchange's clock determines the slot of a
quote. Beat only starts ticks. docs/adr/0001 gives the reasons and the clocks that were simulated.
"""

from app.services.collector.collector import CollectionResult, Collector

__all__ = ["CollectionResult", "Collector"]
