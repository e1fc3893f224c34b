"""JPEGs that cannot be decoded say why, and one that would cost too much is refused before it is decoded."""

import pytest

from red_service.decoding import fast_jpeg, jpeg
from red_service.decoding.image import measure
from tests.processor_time import least_seconds
from tests.red_service import builders as b
from tests.red_service.decoding.verdicts import case, refusal, verdict

KINDS = {
    "baseline": b.a_jpeg((40, 30)),
    "progressive": b.a_jpeg((40, 30), progressive=True),
    "grey": b.encoded(b.smooth((40, 30)).convert("L"), "JPEG"),
    "cmyk": b.encoded(b.smooth((40, 30)).convert("CMYK"), "JPEG"),
    "with metadata": b.with_segments(b.a_jpeg((8, 8)), b.segment(0xE1, b"Exif\0\0II*\0" + bytes(100))),
}
MEGAPIXELS_40 = (8000, 5000)


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_cut_anywhere_is_truncated(kind):
    content = KINDS[kind]

    codes = {verdict(content[:end]) for end in range(3, len(content))}

    assert codes == {"image_truncated"}
    assert isinstance(verdict(content), dict)


def test_a_camera_file_cut_in_its_metadata_is_truncated():
    assert verdict(case("cut_in_exif.jpg")) == "image_truncated"
    assert verdict(b"\xff\xd8\xff\xe0") == "image_truncated"


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (case("jpg_12bit.jpg"), "12 bits"),
        (b.with_frame_header(b.a_jpeg(), bits=16), "16 bits"),
        (b.with_frame_header(b.a_jpeg(), 0xC5), "hierarchical"),
        (b.with_frame_header(b.a_jpeg(), 0xCB), "arithmetic"),
        (b.with_frame_header(b.a_jpeg(), 0xF7), "JPEG-LS"),
        (b.jpeg_of(0xC0, (16, 16), 2, b.scan(b"\1\2", 0, 63, 0)), "2 components"),
        (b"\xff\xd8\xff\xd9", "first scan"),
        (b"\xff\xd8" + b.scan(b"\1", 0, 63, 0) + b"\xff\xd9", "no frame"),
        (b"\xff\xd8" + b.segment(0xC0, b"\x08\0") + b.scan(b"\1", 0, 63, 0), "too short"),
    ],
)
def test_a_jpeg_that_cannot_be_decoded_is_corrupt_and_says_why(content, cause):
    refused = refusal(content)

    assert refused.code == "image_corrupt"
    assert cause in refused.detail


def test_a_jpeg_without_pixels_is_no_image():
    for size in ((0, 0), (0, 5), (5, 0)):
        assert verdict(b.jpeg_of_size(*size)) == "unsupported_format"


@pytest.mark.parametrize("size", [(64, 64), MEGAPIXELS_40], ids=str)
def test_more_than_64_scans_are_too_many(size):
    content = b.jpeg_of(0xC2, size, 1, b.scan(b"\1", 0, 0, 0) * 65)

    assert verdict(content) == "image_too_complex"


def in_turn(scans, last=63):
    """Scans of one component each, the three of them in turn."""
    first = 0 if last else 1
    return [b.scan(bytes((n % 3 + 1,)), first, last, 0) for n in range(scans)]


REFINED = b.scan(b"\1", 0, 0, 0) + b.scan(b"\1", 1, 63, 1)
TOO_COSTLY = {
    "progressive": b.jpeg_of(0xC2, MEGAPIXELS_40, 1, REFINED, b.scan(b"\1", 1, 63, 0x10) * 60),
    "sequential": b.jpeg_of(0xC0, MEGAPIXELS_40, 3, *in_turn(60)),
    "arithmetic": b.jpeg_of(0xC9, MEGAPIXELS_40, 3, *in_turn(12)),
    "arithmetic progressive": b.jpeg_of(0xCA, MEGAPIXELS_40, 1, REFINED, b.scan(b"\1", 1, 63, 0x10) * 12),
    "lossless": b.jpeg_of(0xC3, MEGAPIXELS_40, 3, *in_turn(6, 0)),
    "unknown component": b.jpeg_of(0xC2, MEGAPIXELS_40, 1, REFINED, b.scan(b"\7", 1, 63, 0x10) * 60),
    "many segments": b"\xff\xd8" + b.segment(0xFE) * 200_000,
}  # fmt: skip


@pytest.mark.parametrize("kind", TOO_COSTLY)
def test_a_jpeg_that_costs_too_much_is_refused_before_it_is_decoded(kind):
    took, codes = least_seconds(lambda: verdict(TOO_COSTLY[kind]), limit=1)

    assert codes == {"image_too_complex"}
    assert took < 1


@pytest.mark.parametrize("share", [1, 2], ids=("all that is allowed", "twice what is allowed to fail once"))
def test_what_is_allowed_is_decoded_well_within_five_seconds(share):
    blocks = MEGAPIXELS_40[0] * MEGAPIXELS_40[1] // 64
    first = [b.scan(b"\1\2\3", 0, 0, 0), *(b.scan(bytes((n,)), 1, 63, 1) for n in (1, 2, 3))]
    runs = bytes(2 + blocks // 16384 * 2)
    more = jpeg.MAX_BLOCKS // share // blocks - 6
    refined = [b.scan(bytes((n % 3 + 1,)), 1, 63, 0x10, runs) for n in range(more)]
    content = b.jpeg_of(0xC2, MEGAPIXELS_40, 3, *first, *refined)

    def size():
        found = measure(content)
        return found.width, found.height

    took, sizes = least_seconds(size, limit=5)

    assert sizes == {MEGAPIXELS_40}
    assert took < 5, "the processor time RED allows an image"


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "progressive": True}])
def test_a_photograph_of_40_megapixels_costs_less_than_the_limit(options):
    content = b.encoded(b.solid(size=(400, 250)), "JPEG", quality=85, **options)
    frame = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
    header = (
        content[: frame + 5] + bytes((5000 >> 8, 5000 & 255, 8000 >> 8, 8000 & 255)) + content[frame + 9 :]
    )

    assert jpeg.read(header).frame.width == 8000


def test_what_stands_behind_the_image_costs_nothing():
    embedded = b.a_jpeg((64, 64)) + b.jpeg_of_scans(200)

    assert verdict(embedded) == verdict(b.a_jpeg((64, 64)))


@pytest.mark.parametrize("marker", [0xC9, 0xCA, 0xC3])
def test_arithmetic_and_lossless_jpegs_have_one_verdict_with_and_without_the_fast_decoder(
    marker, monkeypatch
):
    scans = {
        0xC9: b.scan(b"\1\2\3", 0, 63, 0),
        0xCA: b.scan(b"\1\2\3", 0, 0, 0),
        0xC3: b.scan(b"\1\2\3", 1, 0, 0, bytes(32 * 32 * 3 // 8)),
    }
    content = b.jpeg_of(marker, (32, 32), 3, scans[marker])
    fast = verdict(content)
    monkeypatch.setattr(fast_jpeg, "simplejpeg", None)

    assert isinstance(fast, dict)
    assert verdict(content) == fast
