"""The check of PostgreSQL and Redis that beat and workers make at their start."""

import asyncio
import subprocess
import sys

from app.core.exit_messages import exiting_on_errors
from app.core.settings import Settings, load_settings


def require_servers_or_exit(settings: Settings) -> None:
    """Exit with a one-line message if a server is missing or its schema is outdated."""
    from app.runtime import require_servers  # noqa: PLC0415  # heavy, and beat needs none of it

    with exiting_on_errors():
        asyncio.run(require_servers(settings, broker=True))


def require_servers_in_subprocess(**_: object) -> None:  # a handler of a signal
    """Check in a subprocess, so that beat does not load SQLAlchemy: it halves its memory."""
    check = subprocess.run([sys.executable, "-m", __name__], check=False)  # noqa: S603  # ours
    if check.returncode:
        raise SystemExit(check.returncode)


if __name__ == "__main__":
    require_servers_or_exit(load_settings())
