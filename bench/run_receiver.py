"""`python -m bench.run_receiver [PORT]`: a receiver of webhooks that costs little, on every local address.

It answers 204 at once. GET says what came: when the GET was answered (monotonic s), how many webhooks in
all, how many by path, and the last one.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any

import uvloop


class Seen:
    """What came to all connections."""

    def __init__(self) -> None:
        self.by_path: Counter[str] = Counter()
        self.last = b""

    def told(self) -> bytes:
        head, _, body = self.last.partition(b"\r\n\r\n")
        told = {
            "at": time.monotonic(),
            "count": self.by_path.total(),
            "by_path": self.by_path,
            "last": [head.decode("latin-1"), body.decode()],
        }
        return json.dumps(told).encode()


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive and Content-Length, one request after the other."""

    def __init__(self, seen: Seen) -> None:
        self._seen, self._got = seen, b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        while (end := self._got.find(b"\r\n\r\n")) >= 0:
            head = self._got[:end].lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0] or 0)
            if len(self._got) < end + 4 + length:
                return
            request, self._got = self._got[: end + 4 + length], self._got[end + 4 + length :]
            self._transport.write(self._answer(request))

    def _answer(self, request: bytes) -> bytes:
        method, path, _ = request.split(b" ", 2)
        if method == b"POST":
            self._seen.by_path[path.decode()] += 1
            self._seen.last = request
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        told = self._seen.told()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told)


async def main(port: int) -> None:
    seen = Seen()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(seen), "0.0.0.0", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
