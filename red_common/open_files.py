"""How many files this process may have open, and how many of them clients may take as connections."""

import resource
from contextlib import suppress
from typing import Final

UNLIMITED: Final = 1 << 20  # as many as the kernel gives a process by default
MOST_CONNECTIONS: Final = 1000


def raise_limit() -> None:
    """Raise the soft limit to the hard one; it is low for the sake of programs with select(2)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # "unlimited" may be more than the kernel gives
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def soft_limit() -> int:
    """How many files may be open now."""
    return _number(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def hard_limit() -> int:
    """How many files may be open once `raise_limit` was called."""
    return _number(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def connections_within(files: int) -> int:
    """How many connections of clients leave enough of so many files to Kafka, the store and webhooks."""
    return max(1, min(files // 4, MOST_CONNECTIONS))


def _number(limit: int) -> int:
    return UNLIMITED if limit == resource.RLIM_INFINITY else limit
