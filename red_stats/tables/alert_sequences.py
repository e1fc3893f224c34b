"""Live's table of alert sequences of one partition."""

from collections.abc import Iterable

from red_stats.domain.alerts import AlertSequence


class SequenceRows(dict[str, AlertSequence]):
    """How far the alerts of every subscription are, by its id; kept for ever."""

    def load(self, key: bytes, value: bytes | None) -> None:
        """Apply one changelog record; a value of None deletes.

        Raises:
            ValueError: it is no row of ours; nothing has changed.
        """
        if value is None:
            self.pop(key.decode(), None)
        else:
            self[key.decode()] = decode(value)

    def encoded(self) -> dict[bytes, bytes]:
        """Every row as its changelog has it, by key."""
        return {name.encode(): encode(sequence) for name, sequence in self.items()}

    def of_client(self, client_id: str, subscription_ids: Iterable[str]) -> list[bytes]:
        """The keys of the sequences of a client: rows do not say whose they are."""
        return [name.encode() for name in subscription_ids]


def encode(sequence: AlertSequence) -> bytes:
    """The last `seq`, and `disarmed_at` if there is one: most subscriptions have none."""
    seq, disarmed_at = sequence
    return b"%d" % seq if disarmed_at is None else b"%d %d" % (seq, disarmed_at)


def decode(value: bytes) -> AlertSequence:
    """The row in the value of a changelog record.

    Raises:
        ValueError: it is none.
    """
    seq, blank, disarmed_at = value.partition(b" ")
    return AlertSequence(int(seq), int(disarmed_at) if blank else None)
