"""Repair: fill missing slots from the exchange's charts, or store why they can't be filled.

Gaps are derived from the database, so a repair that is killed loses only what it had not stored.
Each chart is stored in transactions of its own. docs/repair.md tells what charts can give, and
docs/adr/0011 and 0016 give the reasons for this design.
"""

from app.services.repair.service import RepairService

__all__ = ["RepairService"]
