"""Deliver's table of the alerts of one partition that have no row yet."""

import msgspec

from red_stats.domain.backlogs import Backlog

_decoder = msgspec.json.Decoder(Backlog)
encode = msgspec.json.Encoder().encode


class Backlogs(dict[str, Backlog]):
    """By subscription id."""

    def load(self, key: bytes, value: bytes | None) -> None:
        """Apply one changelog record; a value of None deletes.

        Raises:
            MsgspecError, ValueError: it is no row of ours; nothing has changed.
        """
        subscription_id = key.decode()
        if value is None:
            self.pop(subscription_id, None)
        else:
            self[subscription_id] = _decoder.decode(value)

    def encoded(self) -> dict[bytes, bytes]:
        """Every row as its changelog has it, by key."""
        return {name.encode(): encode(backlog) for name, backlog in self.items()}
