"""HEIC, where the extra `red-stats[heic]` is installed: Pillow then has a plug-in that decodes it."""

from typing import Final

from red_service.decoding.signatures import SUPPORTED
from red_service.problems import Rejected

try:
    import pillow_heif
except ImportError:
    DECODER = ""
else:
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    DECODER = f"pillow-heif-{pillow_heif.__version__}/libheif-{pillow_heif.libheif_version()}"

PLUGIN: Final = "HEIF"


def check_installed() -> None:
    """Raises Rejected without the extra."""
    if not DECODER:
        needed = "RED opens these with the extra red-stats[heic]"
        detail = f"The bytes are a HEIC image; {needed}. Without it send {SUPPORTED}."
        raise Rejected("unsupported_format", detail)
