"""Decodes one frame of a WebP piece by piece, in the memory of a few of its rows."""

import ctypes
import mmap
from contextlib import AbstractContextManager
from typing import Final

from red_service.decoding.libwebp import ABI, OK, SUSPENDED, CannotDecode, Output, Rgba

COLOURS: Final = {3: 0, 4: 1}  # channels -> MODE_RGB, MODE_RGBA


class FrameDecoder(AbstractContextManager["FrameDecoder"]):
    """Decodes one frame; each `feed` leaves its new rows at the start of `window`.

    Rows are `width` pixels of 3 (RGB) or 4 (RGBA) channels, interleaved, 8 bits each. The window is
    reserved for every row, so that no frame can overflow it. But libwebp lets the output move between
    calls, so every call writes to the start of the window, and only as much memory is touched as the
    largest call needs. Raises MemoryError if there is none.
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
        """Decodes what the first `size` bytes of the frame at `address` allow; returns how many rows are new.

        The address must be the same in every call, and the bytes there must not change.

        Raises:
            CannotDecode: the frame is damaged, or has another size than expected.
        """
        status = self._library.WebPIUpdate(self._decoder, address, size)
        if status not in (OK, SUSPENDED):
            raise CannotDecode(f"libwebp returned status {status}")
        self.finished = status == OK
        total = ctypes.c_int()
        known = self._library.WebPIDecGetRGB(self._decoder, ctypes.byref(total), None, None, None)
        if not known or not total.value:
            return 0  # its headers are not complete yet
        if (self._output.width, self._output.height) != self._size:
            raise CannotDecode("the frame has another size")
        fresh, self._rows = total.value - self._rows, total.value
        self._output.u.rgba.rgba = self._start - self._rows * self._stride
        return fresh
