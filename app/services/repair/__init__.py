"""Repair: what was missed is filled from the exchange's charts, or accounted for.

Gaps are found in the database, so a repair that is killed loses nothing but what it had not stored.
Each answer of the exchange is one chunk, in a transaction of its own. docs/repair.md tells what can
be had, docs/adr/0011 and 0016 why it is done so.
"""

from app.services.repair.service import ASKED_SECONDS, Repair

__all__ = ["ASKED_SECONDS", "Repair"]
