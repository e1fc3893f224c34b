"""The results of each client's last commands, so that a repeated command gets its first one again."""

from collections import OrderedDict

REMEMBERED_ANSWERS = 100


class AnswerRows(dict[str, "OrderedDict[str, bytes]"]):
    """The answers to the last 100 commands of every client, so that a repeated one gets its own again."""

    @staticmethod
    def key(client_id: str, command_id: str) -> bytes:
        """The changelog key of an answer."""
        return f"{client_id}|{command_id}".encode()

    def load(self, key: bytes, value: bytes | None) -> None:
        """Take one changelog record over; None deletes. Oldest first, as the log is."""
        client_id, _, command_id = key.decode().partition("|")
        held = self.setdefault(client_id, OrderedDict())
        held.pop(command_id, None)
        if value is not None:
            held[command_id] = value
        elif not held:
            del self[client_id]

    def encoded(self) -> dict[bytes, bytes]:
        """Every answer as the changelog has it."""
        return {
            self.key(client_id, command_id): value
            for client_id, held in self.items()
            for command_id, value in held.items()
        }
