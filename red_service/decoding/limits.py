"""How large an image may be; checked from its header, before a pixel is decoded."""

from typing import Final

from red_service.problems import Rejected

MAX_PIXELS: Final = 40_000_000
MAX_SIDE: Final = 16_384
MAX_SEGMENTS: Final = 100_000  # parts of a file: reading the heads of so many takes a tenth of a second


def check_size(width: int, height: int) -> None:
    """Raises Rejected if an image of `width` x `height` pixels is too large."""
    if width * height > MAX_PIXELS:
        raise too_many_pixels()
    if max(width, height) > MAX_SIDE:
        raise Rejected(
            "image_dimension", f"The image has {width} x {height} pixels; a side may have at most {MAX_SIDE}."
        )


def check_has_pixels(width: int, height: int) -> None:
    """Raises Rejected if a side is 0."""
    if not width or not height:
        raise Rejected("unsupported_format", f"The image has no pixels: it is {width} x {height}.")


def too_many_segments() -> Rejected:
    """The problem of an image in more than MAX_SEGMENTS parts, which no encoder writes."""
    return Rejected("image_too_complex", f"The image has more than {MAX_SEGMENTS} segments; save it again.")


def too_many_pixels() -> Rejected:
    """The problem of an image with more than MAX_PIXELS pixels."""
    return Rejected("image_too_many_pixels", f"An image may have at most {MAX_PIXELS} pixels.")
