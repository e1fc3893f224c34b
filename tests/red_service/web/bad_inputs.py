"""What stands behind the rows of docs/red.md, "Bad inputs": images, and requests."""

from typing import NamedTuple

from tests.red_service import builders as b
from tests.red_service.decoding import test_metadata
from tests.red_service.decoding.test_heif import with_size
from tests.red_service.decoding.test_jpeg import TOO_COSTLY
from tests.red_service.decoding.test_png import of_16_bits
from tests.red_service.decoding.test_signatures import NAMED
from tests.red_service.decoding.verdicts import case
from tests.system.up import ROOT

GOOD = b.a_png()
AVIF = b.encoded(b.solid(size=(64, 64)), "AVIF")


class Request(NamedTuple):
    """What is sent: a body with its headers; with `framing` exactly these, over a raw socket."""

    body: bytes
    headers: dict[str, str]
    framing: bool = False


def rows() -> dict[str, tuple[int, str]]:
    """The page's table: for each input its status, and its code (empty for 200)."""
    section = (ROOT / "docs/red.md").read_text().partition("## Bad inputs\n")[2].partition("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    found = {}
    for given, answer in cells[1:]:
        status, _, code = answer.partition(" ")
        found[given] = int(status), code.strip("`")
    return found


def damaged(content: bytes, place: bytes, offset: int = 4) -> bytes:
    """The content with a wrong bit behind a place in it."""
    at = content.index(place) + offset
    return content[:at] + bytes((content[at] ^ 1,)) + content[at + 1 :]


IMAGES = {
    "nothing": [b""],
    "bytes of no known kind, text, base64": [b"\xff", b.noise().tobytes() * 5, b"hello", NAMED["base64"]],
    "TIFF, BMP, ICO, PNM, PSD, FITS, PostScript, JPEG 2000, JPEG XL": [
        NAMED[kind]
        for kind in ("TIFF", "BMP", "ICO", "PNM", "Photoshop", "FITS", "PostScript", "JPEG 2000", "JPEG XL")
    ],
    "HTML, SVG, PDF, ZIP, video": [NAMED[kind] for kind in ("HTML", "SVG", "PDF", "ZIP", "video")],
    "an image of 0 x 0": [b.jpeg_of_size(0, 0), b.png(0, 0, b""), b.gif_header(0, 0), with_size(AVIF, 0, 0)],
    "a JPEG cut in its header or its pixels, or without its end": [
        b"\xff\xd8\xff\xe0", case("cut_in_exif.jpg"), b.a_jpeg()[: len(b.a_jpeg()) // 2], b.a_jpeg()[:-2],
    ],
    "a JPEG of 12 bits, or hierarchical": [case("jpg_12bit.jpg"), b.with_frame_header(b.a_jpeg(), 0xC5)],
    "a JPEG of 65,535 x 65,535 or 9,000 x 9,000": [b.jpeg_of_size(65535, 65535), b.jpeg_of_size(9000, 9000)],
    "a JPEG of 410 scans": [b.jpeg_of_scans(410)],
    "a JPEG of 40 million pixels and 60 scans": [TOO_COSTLY["progressive"], TOO_COSTLY["sequential"]],
    "a JPEG with a wrong bit in its pixels": [damaged(b.a_jpeg(), b.a_jpeg()[-300:], 0)],
    "a JPEG with more behind its end": [b.a_jpeg() + bytes(1 << 20), b.a_jpeg() + NAMED["ZIP"]],
    "a JPEG with broken or huge EXIF, ICC profile, XMP or comments": [
        b.with_segments(b.a_jpeg(), segments) for segments in test_metadata.SEGMENTS.values()
    ],
    "a PNG cut in its pixels": [b.encoded(b.noise())[:-2000]],
    "a PNG cut in its header, or damaged in a part that pixels need": [
        b"\x89PNG\r\n\x1a\n", GOOD[:20], damaged(GOOD, b"IHDR"), GOOD.replace(b"IDAT", b"IDAU"),
    ],
    "a PNG of 50,000 x 50,000 in 69 bytes, or of 2^31 - 1 squared": [
        b.png(50000, 50000, b"", depth=1, colour=0), b.png(2**31 - 1, 2**31 - 1, b""),
    ],
    "a PNG that unpacks to 400 million pixels": [
        b.packed_png(20000, 20000, b.zeros_compressed(20000 * 20001), colour=0)
    ],
    "a PNG of 100,000 x 1": [b.png(100000, 1, b"")],
    "a PNG with half its rows, which end properly": [b.png(16, 16, bytes(8 * (1 + 16 * 3)))],
    "a PNG with 200 MB behind its pixels": [b.packed_png(10, 10, b.zeros_compressed(200 << 20))],
    "a PNG with bombs of text or ICC profiles, or any damage to what says nothing about pixels": [
        *(b.a_solid_png_with(chunks) for chunks in test_metadata.PNG_CHUNKS.values()),
        case("png_empty_gama.png"),
    ],
    "a PNG of 16 bits whose transparent colour no pixel has": [
        case("rgb16_opaque_red_key_is_0x00ff.png"), of_16_bits([(0xFFFF, 0, 0)], (0x00FF, 0, 0)),
    ],
    "an animation of 1,000 frames, or with its frames out of order": [
        b.encoded(b.solid(), save_all=True, append_images=[b.solid(b.BLACK), b.solid()] * 500),
        b.encoded(b.solid(), "GIF", save_all=True, append_images=[b.solid(b.BLACK)] * 299),
        case("chunk_no_fctl.png"),
    ],
    "a GIF of 65,535 x 65,535 in 35 bytes": [b.gif_header(65535, 65535)],
    "a GIF whose first frame leaves much uncovered": [case("gif_uncovered_bg1_white_pal0_red.gif")],
    "a WebP that is cut or damaged": [b.encoded(b.noise(), "WEBP")[:200]],
    "a WebP of 16,383 x 16,383": [b.webp_of_size(16383, 16383)],
    "a WebP cut in its EXIF, or with broken metadata": list(test_metadata.WEBPS.values()),
    "an AVIF that is cut": [AVIF[:-20], AVIF[:100]],
    "an AVIF of 9,000 x 9,000": [with_size(AVIF, 9000, 9000)],
}  # fmt: skip

MULTIPART = {"Content-Type": "multipart/form-data; boundary=B"}
IMAGE = {"Content-Type": "image/png"}


def part(disposition: bytes, content: bytes, *headers: bytes) -> bytes:
    lines = [b"Content-Disposition: form-data; " + disposition, *headers]
    return b"--B\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> Request:
    return Request(b"".join(parts) + b"--B--\r\n", MULTIPART)


FILE = part(b'name="a"; filename="a.png"', GOOD)
NOTE = part(b'name="note"', b"hi")
LENGTH = str(len(GOOD))
TOO_LARGE = bytes((20 << 20) + 1)

REQUESTS = {
    "a PNG that says it is a JPEG": [Request(GOOD, {"Content-Type": "image/jpeg"})],
    "a file name with a path, a NUL, or 3,000 characters": [
        form(part(b'name="a"; filename="' + name + b'"', GOOD))
        for name in (b"../../etc/x", rb"C:\fakepath\x.png", b"a\0b.png", b"n" * 3000)
    ],
    "plain text fields beside the images of a form": [form(NOTE, FILE, NOTE)],
    "a form with plain text fields only": [form(NOTE)],
    "a form that is cut, without a boundary, or nested": [
        Request(FILE, MULTIPART),
        Request(b"x", {"Content-Type": "multipart/form-data"}),
        Request(b"x" * 300_000, MULTIPART),
        form(b"--B\r\nContent-Type: multipart/mixed; boundary=C\r\n\r\n--C\r\n\r\nx\r\n--C--\r\n"),
    ],
    "a field `url` or `image_url` instead of an image": [
        form(part(b'name="' + name + b'"', b"http://x/")) for name in (b"url", b"image_url")
    ],
    "more than 16 images, or 10,000 fields": [form(*[FILE] * 17), form(*[NOTE] * 10_000)],
    "JSON, text, or a form of another kind": [
        Request(b'{"url": "x"}', {"Content-Type": kind})
        for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded")
    ],
    "a body or a part with a Content-Encoding": [
        Request(b"x", IMAGE | {"Content-Encoding": "gzip"}),
        form(part(b'name="a"; filename="a"', b"x", b"Content-Encoding: gzip")),
    ],
    "an image over 20 MiB": [
        Request(TOO_LARGE, IMAGE), form(FILE, part(b'name="b"; filename="b"', TOO_LARGE)),
    ],
    "a body over 64 MiB": [Request(b"", MULTIPART | {"Content-Length": str((64 << 20) + 1)}, framing=True)],
    "a body that ends before its Content-Length, or trickles": [
        Request(GOOD[:10], IMAGE | {"Content-Length": "1000"}, framing=True),
    ],
    "an unknown Expect": [
        Request(GOOD, IMAGE | {"Content-Length": LENGTH, "Expect": "x", "Connection": "close"}, framing=True)
    ],
    "two lengths, or a negative one": [
        Request(GOOD, IMAGE | {"Content-Length": LENGTH, "Transfer-Encoding": "chunked"}, framing=True),
        Request(GOOD, IMAGE | {"Content-Length": "-1"}, framing=True),
    ],
    "no API key, or a wrong one": [
        Request(GOOD, IMAGE | {"Authorization": value}) for value in ("", "Bearer nonsense")
    ],
}  # fmt: skip
