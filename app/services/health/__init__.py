"""Health: how fresh the configured tickers are, and the status that routes report."""

from app.services.health.freshness import FreshnessService
from app.services.health.status import StatusService

__all__ = ["FreshnessService", "StatusService"]
