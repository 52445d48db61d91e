"""`python -m app`: the service's processes, and the command line for everything else."""

import sys

from app.entrypoints import ENTRYPOINTS, start


def main() -> None:
    """Run an entry point if nothing but its name is given, else the command line."""
    match sys.argv[1:]:
        case [name] if name in ENTRYPOINTS:
            start(name)
        case _:
            from app.cli import main as run_command  # noqa: PLC0415  # heavy

            run_command()


if __name__ == "__main__":
    main()
