"""TCP ports of this machine: which are free, and which a server had before."""

import random
import socket
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

# below the ports that systems lend to outgoing connections: a client that knocks at a closed one
# of those can end up connected to itself, and then nothing can listen there
_RANGE: Final = range(20_000, 30_000)


def why_taken(port: int, host: str = "127.0.0.1") -> str:
    """Say why no server could listen on a port; an empty string if one could."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with closing(socket.socket(family, kind, protocol)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def free_port() -> int:
    """Return a port on which nothing listens."""
    # SystemRandom, because test runs seed the other one alike in every process
    ports = random.SystemRandom().sample(_RANGE, k=len(_RANGE))
    return next(port for port in ports if not why_taken(port))


def kept_port(file: Path) -> int:
    """Return the port noted in a file while it is free, else note a new one there."""
    with suppress(FileNotFoundError, ValueError):
        port = int(file.read_text())
        if not why_taken(port):
            return port
    port = free_port()
    file.write_text(f"{port}\n")
    return port
