"""Live's table of alert sequences of one partition."""


class SequenceRows(dict[str, int]):
    """The last `seq` of every subscription by its id; kept for ever."""

    def load(self, key: bytes, value: bytes | None) -> None:
        """Apply one changelog record; a value of None deletes."""
        if value is None:
            self.pop(key.decode(), None)
        else:
            self[key.decode()] = int(value)

    def encoded(self) -> dict[bytes, bytes]:
        """Every row as its changelog has it, by key."""
        return {name.encode(): b"%d" % seq for name, seq in self.items()}
