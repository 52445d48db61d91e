"""`python -m app`: the command line, and the service's processes without its weight."""

import sys

from app.roles import ROLES, start


def main() -> None:
    """Run a process of the service if nothing but its name is given, else the command line."""
    if len(sys.argv) == 2 and sys.argv[1] in ROLES:  # noqa: PLR2004  # the program and the role
        start(sys.argv[1])
    else:
        from app.cli import main as run_command  # noqa: PLC0415  # heavy

        run_command()


if __name__ == "__main__":
    main()
