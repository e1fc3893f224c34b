"""The libwebp in Pillow's wheel, called directly: its incremental decoder, a few rows at a time.

Only the very library Pillow decodes with is taken, and only with the structures declared here
(webp/decode.h of ABI 2); otherwise there is none and Pillow decodes.
"""

import ctypes
import mmap
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from PIL import features

ABI: Final = 0x0210  # of webp/decode.h; libwebp refuses another major
FOLDER: Final = "pillow.libs"  # beside the package PIL, where its wheel carries the libraries
NAMES: Final = "libwebp-*.so.7*"
OK, SUSPENDED = 0, 5
COLOURS: Final = {3: 0, 4: 1}  # channels -> MODE_RGB, MODE_RGBA


class CannotDecode(Exception):
    """Raised when libwebp gives up on a frame."""


class _Rgba(ctypes.Structure):
    _fields_ = (("rgba", ctypes.c_void_p), ("stride", ctypes.c_int), ("size", ctypes.c_size_t))


class _Yuva(ctypes.Structure):
    _fields_ = (
        ("planes", ctypes.c_void_p * 4),
        ("strides", ctypes.c_int * 4),
        ("sizes", ctypes.c_size_t * 4),
    )


class _Planes(ctypes.Union):
    _fields_ = (("rgba", _Rgba), ("yuva", _Yuva))


class _Output(ctypes.Structure):
    _fields_ = (
        ("colours", ctypes.c_int),
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("is_external_memory", ctypes.c_int),
        ("u", _Planes),
        ("pad", ctypes.c_uint32 * 4),
        ("private_memory", ctypes.c_void_p),
    )


_Number = ctypes.POINTER(ctypes.c_int)
_FUNCTIONS: Final = {
    "WebPGetDecoderVersion": (ctypes.c_int, ()),
    "WebPInitDecBufferInternal": (ctypes.c_int, (ctypes.POINTER(_Output), ctypes.c_int)),
    "WebPINewDecoder": (ctypes.c_void_p, (ctypes.POINTER(_Output),)),
    "WebPIUpdate": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)),
    "WebPIDecGetRGB": (ctypes.c_void_p, (ctypes.c_void_p, _Number, _Number, _Number, _Number)),
    "WebPIDelete": (None, (ctypes.c_void_p,)),
}


def load() -> ctypes.CDLL | None:
    """Pillow's libwebp with its functions typed; None when there is none like it."""
    try:
        from PIL import _webp

        (path,) = Path(_webp.__file__).parent.with_name(FOLDER).glob(NAMES)
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (ImportError, ValueError, OSError, AttributeError):
        return None
    fits = version(library) == features.version("webp")
    return library if fits and library.WebPInitDecBufferInternal(ctypes.byref(_Output()), ABI) else None


def version(library: ctypes.CDLL) -> str:
    """As in 1.6.0."""
    packed = library.WebPGetDecoderVersion()
    return f"{packed >> 16}.{packed >> 8 & 0xFF}.{packed & 0xFF}"


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
        self.window = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._start = ctypes.addressof(ctypes.c_char.from_buffer(self.window))
        self._output = _Output()
        library.WebPInitDecBufferInternal(ctypes.byref(self._output), ABI)
        self._output.colours, self._output.is_external_memory = COLOURS[channels], 1
        self._output.u.rgba = _Rgba(self._start, self._stride, size)
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
