"""The last `seq` of every subscription of one partition."""


class SequenceRows(dict[str, int]):
    """The last `seq` of every subscription, for ever."""

    def load(self, key: bytes, value: bytes | None) -> None:
        """Take one changelog record over; None deletes."""
        if value is None:
            self.pop(key.decode(), None)
        else:
            self[key.decode()] = int(value)

    def encoded(self) -> dict[bytes, bytes]:
        """Every sequence as the changelog has it."""
        return {name.encode(): b"%d" % seq for name, seq in self.items()}
