"""How much one question of a client in SQL may take. Pure."""

from typing import NamedTuple


class Limits(NamedTuple):
    """What one question of a client may take."""

    seconds: float = 10
    memory: int = 1 << 30  # bytes
    rows: int = 1_000_000  # of the answer
    result_bytes: int = 64 << 20
    threads: int = 1

    def __str__(self) -> str:
        memory, result = self.memory >> 20, self.result_bytes >> 20
        return f"{self.seconds:g} s, {memory} MiB of memory, {self.rows} rows and {result} MiB in the answer"
