"""How long PostgreSQL may take.

A module of its own, because Celery's configuration must not load SQLAlchemy.
"""

from typing import Final

CONNECT_TIMEOUT_SECONDS: Final = 5
COMMAND_TIMEOUT_SECONDS: Final = 60
"""How long a statement may take, also while it waits for a lock."""
