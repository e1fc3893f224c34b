"""Measures the red in an encoded image, with every limit checked before a pixel is decoded.

Runs in a worker process (`worker.py`), because hostile images attack decoders. Only the formats in _READERS
are opened, by what the bytes are. The first frame counts; EXIF orientation, ICC profiles and gamma are
ignored, so the same bytes always give the same numbers (docs/red.md, "How an image is read" and "Limits").
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from red_service.decoding import fast_jpeg, fast_webp, gif, heic, heif, jpeg, pillow, png, signatures, webp
from red_service.decoding.limits import check_size
from red_service.problems import Rejected
from red_service.redness import count
from red_service.redness.rule import RULE, Tally


class Measured(msgspec.Struct, frozen=True):
    """The amounts of one image: `*_bp` are shares in basis points, 0..10000 (docs/red.md).

    `decoder` names the library that decoded it and its version.
    """

    format: str
    width: int
    height: int
    pixels: int
    red_pixels: int
    red_bp: int
    red_excess_bp: int
    red_channel_bp: int
    decoder: str
    rule: str = RULE


class _Counted(NamedTuple):
    size: tuple[int, int]
    counts: Tally
    decoder: str


def measure(content: bytes) -> Measured:
    """Measures one encoded image; for any bytes it gives amounts, or raises Rejected.

    Raises:
        Rejected: the bytes are not an image within the limits; the code says why.
    """
    if not content:
        raise Rejected("image_empty", "The image has no bytes.")
    for name, (is_one, read) in _READERS.items():
        if is_one(content):
            try:
                return _measured(name, read(content))
            except MemoryError:
                raise Rejected("image_too_expensive", "Decoding takes too much memory.") from None
    raise signatures.unsupported(content)


def _measured(format: str, found: _Counted) -> Measured:
    counts = found.counts
    return Measured(
        format=format,
        width=found.size[0],
        height=found.size[1],
        pixels=counts.pixels,
        red_pixels=counts.red_pixels,
        red_bp=counts.red_bp,
        red_excess_bp=counts.red_excess_bp,
        red_channel_bp=counts.red_channel_bp,
        decoder=found.decoder,
    )


def _jpeg(content: bytes) -> _Counted:
    header = jpeg.read(content)
    size = header.frame.width, header.frame.height
    if header.frame.components == 3 and header.may_fail_once:
        counts = fast_jpeg.count(content, *size)
        if counts is not None:
            return _Counted(size, counts, fast_jpeg.DECODER)
    with pillow.opened(jpeg.pixels_only(content, header), "JPEG") as image:
        pillow.decode(image)
        return _Counted(image.size, count.count(image), pillow.DECODER)


def _png(content: bytes) -> _Counted:
    with png.decoded(content) as image:
        return _Counted(image.size, count.count(image), pillow.DECODER)


def _gif(content: bytes) -> _Counted:
    return _Counted(*gif.counted(content), pillow.DECODER)


def _webp(content: bytes) -> _Counted:
    size = webp.canvas(content)
    check_size(*size)  # Pillow would allocate the canvas just to open it
    content = webp.pixels_only(content)
    counts = fast_webp.count(content, *size)
    if counts is not None:
        return _Counted(size, counts, fast_webp.DECODER)
    with pillow.opened(content, "WEBP") as image:
        check_size(*image.size)
        pillow.decode(image)
        return _Counted(image.size, count.count(image), pillow.DECODER)


def _avif(content: bytes) -> _Counted:
    return _boxed(content, "AVIF", pillow.AVIF_DECODER)


def _heic(content: bytes) -> _Counted:
    heic.check_installed()
    return _boxed(content, heic.PLUGIN, heic.DECODER)


def _boxed(content: bytes, plugin: str, decoder: str) -> _Counted:
    heif.check_sizes(content)  # a decoder would call most of what is too large damaged
    try:
        with pillow.opened(heif.pixels_only(content), plugin) as image:
            check_size(*image.size)
            pillow.decode(image)
            return _Counted(image.size, count.count(image), decoder)
    except Rejected as rejected:
        if rejected.code == "image_corrupt" and heif.is_cut(content):
            raise Rejected(
                "image_truncated", "The image is cut: a part of it ends behind the file."
            ) from None
        raise


_READERS: Final[dict[str, tuple[Callable[[bytes], bool], Callable[[bytes], _Counted]]]] = {
    "jpeg": (jpeg.is_jpeg, _jpeg),
    "png": (png.is_png, _png),
    "gif": (gif.is_gif, _gif),
    "webp": (webp.is_webp, _webp),
    "avif": (heif.is_avif, _avif),
    "heic": (heif.is_heic, _heic),
}
