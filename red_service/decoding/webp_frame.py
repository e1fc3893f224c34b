"""One frame of a WebP decoded piece by piece, in memory for a few of its rows."""

import ctypes
import mmap
from contextlib import AbstractContextManager
from typing import Final

from red_service.decoding.libwebp import ABI, OK, SUSPENDED, CannotDecode, Output, Rgba

COLOURS: Final = {3: 0, 4: 1}  # channels -> MODE_RGB, MODE_RGBA


class FrameDecoder(AbstractContextManager["FrameDecoder"]):
    """One frame on its way to pixels; each `feed` leaves its new rows at the start of `window`.

    The window has room for every row, so that no frame can leave it, whatever it decodes to. But as
    libwebp allows the output to be moved between two calls, each call writes to its beginning, and
    memory is used for the rows of the longest call only.
    """

    def __init__(self, library: ctypes.CDLL, width: int, height: int, channels: int) -> None:
        self.finished = False
        self._size = (width, height)
        self._library, self._stride, self._rows = library, width * channels, 0
        size = self._stride * height
        self.window = memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        self._start = ctypes.addressof(ctypes.c_char.from_buffer(self.window))
        self._output = Output()
        library.WebPInitDecBufferInternal(ctypes.byref(self._output), ABI)
        self._output.colours, self._output.is_external_memory = COLOURS[channels], 1
        self._output.u.rgba = Rgba(self._start, self._stride, size)
        self._decoder = library.WebPINewDecoder(ctypes.byref(self._output))
        if not self._decoder:
            raise MemoryError

    def __exit__(self, *_: object) -> None:
        decoder, self._decoder = self._decoder, None
        self._library.WebPIDelete(decoder)

    def feed(self, address: int, size: int) -> int:
        """How many new rows the first `size` bytes of the frame at `address` give.

        The address is the same in every call, and its bytes stay as they are.

        Raises:
            CannotDecode: the frame is damaged, or of another size.
        """
        status = self._library.WebPIUpdate(self._decoder, address, size)
        if status not in (OK, SUSPENDED):
            raise CannotDecode(f"libwebp says {status}")
        self.finished = status == OK
        total = ctypes.c_int()
        known = self._library.WebPIDecGetRGB(self._decoder, ctypes.byref(total), None, None, None)
        if not known or not total.value:
            return 0  # its headers have not come yet
        if (self._output.width, self._output.height) != self._size:
            raise CannotDecode("the frame has another size")
        fresh, self._rows = total.value - self._rows, total.value
        self._output.u.rgba.rgba = self._start - self._rows * self._stride
        return fresh
