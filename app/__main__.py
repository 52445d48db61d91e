"""`python -m app`: the command line, and the service's processes without its weight."""

import sys

from app.entrypoints import ROLES, start, start_exchange


def main() -> None:
    """Run a process of the service if nothing but its name is given, else the command line."""
    match sys.argv[1:]:
        case [role] if role in ROLES:
            start(role)
        case ["exchange", *words] if start_exchange(words):
            pass
        case _:
            from app.cli import main as run_command  # noqa: PLC0415  # heavy

            run_command()


if __name__ == "__main__":
    main()
