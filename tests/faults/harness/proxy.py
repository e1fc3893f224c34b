"""A TCP proxy with a bad cable: it forwards, cuts, goes silent, or loses the answers.

It runs in a thread and a loop of its own, so that nothing the harness does slows it.
"""

import asyncio
import contextlib
import threading

CHUNK = 1 << 16

FORWARD = "forward"
CUT = "cut"  # every connection is reset, new ones are refused
SILENT = "silent"  # half-open: connections stay and are dead for ever, new ones are not answered
DEAF = "deaf"  # what is asked arrives, what is answered is lost, on these connections for ever


class Proxy:
    """Listens on `port` (0: any) and dials `target` for every connection."""

    def __init__(self, target, port=0):
        self.target = target
        self.port = port
        self.mode = FORWARD
        self._pairs = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._call(self._listen())

    def set(self, mode):
        """Behave so from now on; a connection that was half-open once is never told and never heals."""
        self._call(self._set(mode))

    def close(self):
        """Cut everything and stop listening."""
        self.set(CUT)
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def _call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _end(self):
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _listen(self):
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _set(self, mode):
        self.mode = mode
        if mode == CUT:
            self._server.close()
        elif not self._server.is_serving():
            await self._listen()
        if mode == CUT:
            for writer in list(self._pairs):
                writer.transport.abort()

    async def _connected(self, reader, writer):
        self._pairs.add(writer)
        there, tasks = None, []
        try:
            there_reader, there = await asyncio.open_connection(*self.target)
            self._pairs.add(there)
            ways = self._pass(reader, there, {SILENT}), self._pass(there_reader, writer, {SILENT, DEAF})
            tasks = [asyncio.ensure_future(way) for way in ways]
            await asyncio.wait(tasks, return_when="FIRST_COMPLETED")
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for task in tasks:
                task.cancel()
            for one in (writer, there):
                if one is not None:
                    self._pairs.discard(one)
                    one.transport.abort()

    async def _pass(self, reader, writer, swallowing):
        swallowed = False  # a stream with a hole in it is of no more use
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                swallowed = swallowed or self.mode in swallowing
                if not swallowed:
                    writer.write(data)
                    await writer.drain()
