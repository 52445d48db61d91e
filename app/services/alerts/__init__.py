"""Alerts: a webhook call when a ticker becomes stale and one when it recovers.

The same goes for its hourly summaries when a check finds them wrong. Of all API processes, the one
with the lease alerts. docs/adr/0010 tells why the API does it, and what happens while Redis or the
endpoint is away.
"""

from app.services.alerts.service import AlertService

__all__ = ["AlertService"]
