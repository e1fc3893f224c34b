"""What the load knows: what it sent, what was acknowledged, and what may have happened."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Ack:
    """An image that somebody was told is counted; `position` None: told without a place."""

    image_id: str
    position: str | None
    red: float


@dataclass
class Ledger:
    """Of one client. `maybe` are ids whose outcome nobody was told, `unnamed` how many without an id."""

    client_id: str
    acked: list[Ack] = field(default_factory=list)
    maybe: set[str] = field(default_factory=set)
    unnamed: int = 0
    odd: list[str] = field(default_factory=list)  # answers that no document allows

    def ack(self, image_id, position, red):
        """It was acknowledged."""
        self.maybe.discard(image_id)
        self.acked.append(Ack(image_id, position, red))
