"""How long PostgreSQL may take; beside the pool, as Celery's configuration loads no SQLAlchemy."""

from typing import Final

CONNECT_TIMEOUT_SECONDS: Final = 5
COMMAND_TIMEOUT_SECONDS: Final = 60
"""How long a statement may take, also while it waits for a lock."""
