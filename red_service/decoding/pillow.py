"""Pillow, with every error of its decoders turned into the one reason why an image is refused."""

import io
import struct
import warnings
import zlib
from typing import Final

import PIL
from PIL import AvifImagePlugin, Image, ImageFile, UnidentifiedImageError, WebPImagePlugin, features

from red_service.decoding.limits import too_many_pixels
from red_service.problems import Rejected

DECODER: Final = f"pillow-{PIL.__version__}/ljt-{features.version('libjpeg_turbo')}"
AVIF_DECODER: Final = f"pillow-{PIL.__version__}/libavif-{features.version('avif')}"

assert WebPImagePlugin.SUPPORTED  # loaded by their imports; Image.preinit() loads the others
assert AvifImagePlugin.SUPPORTED
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # a decoder has one processor, and no memory for stacks of threads

_UNREADABLE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
)


def opened(content: bytes, plugin: str) -> ImageFile.ImageFile:
    """The image with its header read by one of Pillow's plug-ins, and no pixel decoded.

    Raises:
        Rejected: the header is damaged.
    """
    with warnings.catch_warnings():
        # Up to twice its own limit Pillow only warns; our limit is in limits.py.
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(content), formats=(plugin,))
        except UnidentifiedImageError:
            detail = "The image cannot be opened: its header is damaged."
            raise Rejected("image_corrupt", detail) from None
        except Image.DecompressionBombError:
            raise too_many_pixels() from None
        except _UNREADABLE as error:
            raise Rejected("image_corrupt", _sentence(error)) from error
    assert isinstance(image, ImageFile.ImageFile)
    return image


def decode(image: Image.Image) -> None:
    """Decodes every pixel of the first frame.

    Raises:
        Rejected: the image is damaged or cut.
        MemoryError: there is not enough memory for its pixels.
    """
    try:
        image.load()
    except Image.DecompressionBombError:
        raise too_many_pixels() from None
    except _UNREADABLE as error:
        text = str(error).lower()
        if "memory" in text:
            raise MemoryError from None
        code = "image_truncated" if "truncated" in text else "image_corrupt"
        raise Rejected(code, _sentence(error)) from error


def _sentence(error: Exception) -> str:
    return f"The image cannot be decoded: {str(error)[:200] or type(error).__name__}."
