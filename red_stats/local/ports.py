"""Checks whether ports are free, and finds a free one."""

import socket
import time
from collections.abc import Callable, Mapping

from red_stats.local.data_folder import Unusable

WAIT_SECONDS = 8.0  # the children of a supervisor that was just killed end meanwhile


def free_port() -> int:
    """A port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(host: str, port: int) -> bool:
    """Whether this process could listen on a port of a host."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def check_ports(
    host: str,
    wanted: Mapping[str, int],
    *,
    seconds: float = WAIT_SECONDS,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until every port of `wanted` (setting -> port) is free, for at most `seconds`.

    Raises:
        Unusable: one is still in use.
    """
    waited = 0.0
    while True:
        busy = {name: port for name, port in wanted.items() if not is_free(host, port)}
        if not busy:
            return
        if waited >= seconds:
            name, port = next(iter(busy.items()))
            raise Unusable(f"port {port} is in use: stop what listens there or set {name}")
        pause(0.2)
        waited += 0.2
