"""The libwebp in Pillow's wheel, called directly, for its incremental decoder.

Only the same library that Pillow decodes with is used, and only if it has the structures declared here
(webp/decode.h, ABI version 2); otherwise `load` gives None, and Pillow decodes.
"""

import ctypes
from pathlib import Path
from typing import Final

from PIL import features

ABI: Final = 0x0210  # WEBP_DECODER_ABI_VERSION of webp/decode.h; libwebp refuses another major version
FOLDER: Final = "pillow.libs"  # beside the package PIL: the libraries its wheel carries
NAMES: Final = "libwebp-*.so.7*"
OK, SUSPENDED = 0, 5  # VP8StatusCode


class CannotDecode(Exception):
    """Raised when libwebp cannot decode an image; the text has its VP8StatusCode."""


class Rgba(ctypes.Structure):
    """WebPRGBABuffer: where interleaved pixels are written; `stride` and `size` are in bytes."""

    _fields_ = (("rgba", ctypes.c_void_p), ("stride", ctypes.c_int), ("size", ctypes.c_size_t))


class _Yuva(ctypes.Structure):
    _fields_ = (
        ("planes", ctypes.c_void_p * 4),
        ("strides", ctypes.c_int * 4),
        ("sizes", ctypes.c_size_t * 4),
    )


class _Planes(ctypes.Union):
    _fields_ = (("rgba", Rgba), ("yuva", _Yuva))


class Output(ctypes.Structure):
    """WebPDecBuffer: where libwebp writes, and the size of the frame once its headers are read."""

    _fields_ = (
        ("colours", ctypes.c_int),
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("is_external_memory", ctypes.c_int),
        ("u", _Planes),
        ("pad", ctypes.c_uint32 * 4),
        ("private_memory", ctypes.c_void_p),
    )


class Features(ctypes.Structure):
    """WebPBitstreamFeatures: what the headers of a file say; sizes in pixels."""

    _fields_ = (
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("has_alpha", ctypes.c_int),
        ("has_animation", ctypes.c_int),
        ("format", ctypes.c_int),
        ("pad", ctypes.c_uint32 * 5),
    )


_Number = ctypes.POINTER(ctypes.c_int)
_FUNCTIONS: Final = {
    "WebPGetDecoderVersion": (ctypes.c_int, ()),
    "WebPGetFeaturesInternal": (
        ctypes.c_int,
        (ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(Features), ctypes.c_int),
    ),
    "WebPInitDecBufferInternal": (ctypes.c_int, (ctypes.POINTER(Output), ctypes.c_int)),
    "WebPINewDecoder": (ctypes.c_void_p, (ctypes.POINTER(Output),)),
    "WebPIUpdate": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)),
    "WebPIDecGetRGB": (ctypes.c_void_p, (ctypes.c_void_p, _Number, _Number, _Number, _Number)),
    "WebPIDelete": (None, (ctypes.c_void_p,)),
}


def load() -> ctypes.CDLL | None:
    """Pillow's libwebp with its functions typed, or None if it is missing or another version."""
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
    return library if fits and library.WebPInitDecBufferInternal(ctypes.byref(Output()), ABI) else None


def version(library: ctypes.CDLL) -> str:
    """The version of the library, such as "1.6.0"."""
    packed = library.WebPGetDecoderVersion()
    return f"{packed >> 16}.{packed >> 8 & 0xFF}.{packed & 0xFF}"


def address_of(content: bytes) -> int:
    """The address of the bytes, which is valid for as long as the caller keeps them."""
    return ctypes.cast(ctypes.c_char_p(content), ctypes.c_void_p).value or 0


def features_of(library: ctypes.CDLL, content: bytes) -> Features:
    """What the headers of a whole file say.

    Raises:
        CannotDecode: they are damaged.
    """
    found = Features()
    status = library.WebPGetFeaturesInternal(address_of(content), len(content), ctypes.byref(found), ABI)
    if status != OK:
        raise CannotDecode(f"libwebp returned status {status}")
    return found
