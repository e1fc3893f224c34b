"""Live's table of answers to commands of one partition."""

from collections import OrderedDict


class AnswerRows(dict[str, "OrderedDict[str, bytes]"]):
    """The answers to each client's last commands, by client_id and command_id, oldest first.

    So a repeated command gets its first answer again. `command_results.forgotten` says how many are kept.
    """

    @staticmethod
    def key(client_id: str, command_id: str) -> bytes:
        """The changelog key of an answer."""
        return f"{client_id}|{command_id}".encode()

    def load(self, key: bytes, value: bytes | None) -> None:
        """Apply one changelog record, in log order; a value of None deletes."""
        client_id, _, command_id = key.decode().partition("|")
        held = self.setdefault(client_id, OrderedDict())
        held.pop(command_id, None)
        if value is not None:
            held[command_id] = value
        elif not held:
            del self[client_id]

    def encoded(self) -> dict[bytes, bytes]:
        """Every answer as its changelog has it, by key."""
        return {
            self.key(client_id, command_id): value
            for client_id, held in self.items()
            for command_id, value in held.items()
        }
