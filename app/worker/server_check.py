"""The check of PostgreSQL and Redis that beat and workers make at their start."""

import asyncio
import subprocess
import sys

from app.core.errors import AppError
from app.core.exit_messages import exit_message
from app.core.settings import Settings, load_settings


def require_servers_or_exit(settings: Settings) -> None:
    """Exit with a one-line message if a server is missing or its schema is outdated."""
    from app.runtime import require_servers  # noqa: PLC0415  # heavy, and beat needs none of it

    try:
        asyncio.run(require_servers(settings, broker=True))
    except AppError as error:
        raise SystemExit(exit_message(error)) from None


def require_servers_in_subprocess() -> None:
    """Check in a subprocess, so that beat does not load SQLAlchemy: it halves its memory."""
    check = subprocess.run([sys.executable, "-m", __name__], check=False)  # noqa: S603  # ours
    if check.returncode:
        raise SystemExit(check.returncode)


if __name__ == "__main__":
    require_servers_or_exit(load_settings())
