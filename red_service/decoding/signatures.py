"""What bytes are, by how they begin: so that a refusal can say what it was that somebody sent."""

import re
from typing import Final

from red_service.problems import Rejected

SUPPORTED: Final = "a JPEG, PNG, GIF, WebP or AVIF image"
_START: Final = 1024  # bytes in which markup shows what it is

_TEXT: Final = rb"(?i)(?:\xef\xbb\xbf)?\s*"

#: Matched at the first byte, in this order.
_KINDS: Final = tuple(
    (re.compile(pattern, re.DOTALL), name)
    for pattern, name in (
        (rb"(?:II[*+]\0|MM\0[*+])", "a TIFF image"),
        (rb"BM.{4}\0{4}", "a BMP image"),
        (rb"\0\0[\x01\x02]\0.\0", "an ICO or CUR icon"),
        (rb"8BP[SB]", "a Photoshop document"),
        (rb"\0\0\0\x0cjP(?:  |\x1a\x1a)\r\n\x87\n|\xff\x4f\xff\x51", "a JPEG 2000 image"),
        (rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a", "a JPEG XL image"),
        (rb"\xff\xd8", "a JPEG image without anything in it"),
        (rb".{4}ftypcrx ", "a camera's raw image (CR3)"),
        (rb".{4}ftyp(?:qt|isom|iso\d|mp4\d|M4[AV]|3g)", "a video"),
        (rb"\x1a\x45\xdf\xa3|RIFF.{4}AVI |\0\0\x01\xba", "a video"),
        (rb"P[1-7]\s", "a PNM image"),
        (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript file"),
        (rb"SIMPLE  =", "a FITS image"),
        (rb"qoif", "a QOI image"),
        (rb"\x76\x2f\x31\x01", "an OpenEXR image"),
        (rb"#\?R(?:ADIANCE|GBE)", "a Radiance HDR image"),
        (rb"DDS ", "a DDS texture"),
        (rb".{128}DICM", "a DICOM image"),
        (rb"%PDF-", "a PDF document"),
        (rb"PK(?:\x03\x04|\x05\x06|\x07\x08)", "a ZIP archive"),
        (rb"\x1f\x8b", "a gzip archive"),
        (rb"7z\xbc\xaf|Rar!\x1a\x07|\xfd7zXZ\0|BZh\d|\x28\xb5\x2f\xfd", "a compressed archive"),
        (_TEXT + rb"(?:<\?xml.*|<!--.*|<!doctype svg.*)?<svg[\s>]", "an SVG drawing"),
        (_TEXT + rb"(?:<!--.*-->\s*)?<(?:!doctype )?html", "an HTML page"),
        (_TEXT + rb"<\?xml", "an XML document"),
        (rb"data:|/9j/|iVBORw0KGgo|R0lGOD[dl]h|UklGR", "base64 text, not the bytes it stands for,"),
        (_TEXT + rb"[{\[]", "JSON or other text"),
    )
)


def unsupported(content: bytes) -> Rejected:
    """The problem of bytes that are no image RED opens; its detail names what they are, where that shows."""
    start = content[:_START]
    seen = next((name for pattern, name in _KINDS if pattern.match(start)), None)
    if seen is None:
        return Rejected("unsupported_format", f"The bytes are not {SUPPORTED}.")
    return Rejected("unsupported_format", f"The bytes are {seen}; send {SUPPORTED}.")
