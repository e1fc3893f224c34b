"""A refusal says what the bytes are."""

import pytest

from red_service.decoding.signatures import SUPPORTED
from tests.red_service import builders as b
from tests.red_service.decoding.verdicts import refusal

NAMED = {
    "TIFF": b.encoded(b.solid(), "TIFF"),
    "BMP": b.encoded(b.solid(), "BMP"),
    "ICO": b.encoded(b.solid(), "ICO"),
    "PNM": b.encoded(b.solid(), "PPM"),
    "JPEG 2000": b.encoded(b.solid(), "JPEG2000"),
    "JPEG XL": b"\xff\x0a" + bytes(50),
    "PostScript": b.encoded(b.solid(), "EPS"),
    "Photoshop": b"8BPS\0\1" + bytes(100),
    "FITS": b"SIMPLE  =                    T" + b" " * 2850,
    "PDF": b"%PDF-1.7\n",
    "SVG": b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "HTML": b"\n<!DOCTYPE html><html>",
    "XML": b'<?xml version="1.0"?><rss/>',
    "ZIP": b"PK\3\4" + bytes(100),
    "gzip": b"\x1f\x8b\x08" + bytes(20),
    "DICOM": bytes(128) + b"DICM",
    "video": b"\0\0\0\x20ftypisom\0\0\2\0",
    "base64": b"data:image/png;base64,iVBORw0KGgo",
    "JSON": b'{"url": "http://x/"}',
}


@pytest.mark.parametrize("kind", NAMED)
def test_what_is_no_supported_image_is_named(kind):
    refused = refusal(NAMED[kind])

    assert refused.code == "unsupported_format"
    assert kind in refused.detail
    assert SUPPORTED in refused.detail


@pytest.mark.parametrize("content", [b"\xff", b"\0" * 500, b"nonsense", b.noise().tobytes()])
def test_what_is_unknown_is_only_refused(content):
    assert refusal(content).detail == f"The bytes are not {SUPPORTED}."
