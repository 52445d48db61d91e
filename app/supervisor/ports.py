"""TCP ports of this machine: which are free, and which one a server had before."""

import random
import socket
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

# below the ports that systems lend to outgoing connections: a client that connects to a closed one
# of those can end up connected to itself, and then nothing can listen there
_PORTS: Final = range(20_000, 30_000)


def listen_error(port: int, host: str = "127.0.0.1") -> str:
    """Return why no server can listen on a port; an empty string if one can."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with closing(socket.socket(family, kind, protocol)) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def free_port() -> int:
    """Return a port on which nothing listens."""
    # SystemRandom, because test runs seed the other one alike in every process
    ports = random.SystemRandom().sample(_PORTS, k=len(_PORTS))
    return next(port for port in ports if not listen_error(port))


def load_or_choose_port(file: Path) -> int:
    """Return the port written in a file if it is free, else choose a free one and write it."""
    with suppress(FileNotFoundError, ValueError):
        port = int(file.read_text())
        if not listen_error(port):
            return port
    port = free_port()
    file.write_text(f"{port}\n")
    return port
