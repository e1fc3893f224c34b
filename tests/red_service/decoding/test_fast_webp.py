"""WebP decoded row by row: exactly Pillow's counts, Pillow's verdict on damaged files, little memory."""

import io
import random
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from red_service.decoding import fast_webp
from red_service.decoding.image import measure
from red_service.decoding.pillow import DECODER
from red_service.problems import Rejected
from red_service.redness import count as counting
from tests.red_service import builders as b
from tests.red_service.decoding.mutations import KINDS

COMPRESSED = ({"quality": 75}, {"lossless": True, "method": 0})
SIZES = ((1, 1), (2, 1), (1, 3), (17, 31), (120, 90), (333, 777), (16383, 17), (5, 16383))
MEMORY = """
import sys
from red_service.decoding.fast_webp import DECODER
from red_service.decoding.image import measure

def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(name))

content = open(sys.argv[1], "rb").read()
measure(open(sys.argv[2], "rb").read())
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # resets the peak
before = status("VmRSS")
assert measure(content).decoder == DECODER
print(status("VmHWM") - before)
"""


def with_alpha(image):
    """The image with every alpha there is, another one in each row."""
    x, y = np.meshgrid(np.arange(image.width), np.arange(image.height))
    image = image.convert("RGBA")
    image.putalpha(Image.fromarray(((x + 7 * y) % 256).astype(np.uint8)))
    return image


def webp(image, **options):
    return b.encoded(image, "WEBP", **options)


def by_pillow(content):
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        return counting.count(image)


def verdict(content):
    try:
        found = measure(content)
    except Rejected as rejected:
        return rejected.code
    return {name: getattr(found, name) for name in found.__struct_fields__ if name != "decoder"}


@pytest.fixture
def small_strips(monkeypatch):
    monkeypatch.setattr(fast_webp, "STRIP_BYTES", 1)
    monkeypatch.setattr(fast_webp, "STRIP_ROWS", 3)


def test_the_library_of_the_wheel_is_found():
    assert fast_webp.library is not None
    assert fast_webp.DECODER.startswith("libwebp-1.")


@pytest.mark.parametrize("options", COMPRESSED, ids=("lossy", "lossless"))
@pytest.mark.parametrize("alpha", [False, True], ids=("opaque", "alpha"))
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_kind_and_size_counts_as_pillow_counts_it(size, alpha, options):
    image = b.noise(size)
    content = webp(with_alpha(image) if alpha else image, **options)

    assert fast_webp.count(content, *size) == by_pillow(content)
    assert measure(content).decoder == fast_webp.DECODER


@pytest.mark.parametrize("options", COMPRESSED, ids=("lossy", "lossless"))
@pytest.mark.parametrize("alpha", [False, True], ids=("opaque", "alpha"))
@pytest.mark.parametrize("rows", [1, 2, 7, 64])
def test_the_counts_do_not_depend_on_the_strips(rows, alpha, options, monkeypatch):
    image = b.smooth((300, 200))
    content = webp(with_alpha(image) if alpha else image, **options)
    monkeypatch.setattr(fast_webp, "STRIP_BYTES", 1)
    monkeypatch.setattr(fast_webp, "STRIP_ROWS", rows)

    assert fast_webp.count(content, 300, 200) == by_pillow(content)


@pytest.mark.parametrize("options", COMPRESSED, ids=("lossy", "lossless"))
def test_a_flat_image_whose_rows_all_come_at_once_is_counted(options, small_strips):
    content = webp(b.solid(b.RED, (1500, 1200)), **options)

    assert fast_webp.count(content, 1500, 1200) == by_pillow(content)


def test_metadata_around_the_frame_changes_nothing():
    image = with_alpha(b.smooth())
    content = webp(image, quality=60, exif=b"Exif\0\0odd", icc_profile=b"a profile", xmp=b"words")

    assert fast_webp.count(content, 200, 150) == by_pillow(content)


def test_an_animation_is_pillows():
    content = webp(b.smooth(), save_all=True, append_images=[b.solid(size=(200, 150))])

    assert fast_webp.count(content, 200, 150) is None
    assert measure(content).decoder == DECODER


def test_a_frame_of_another_size_is_pillows():
    content = webp(b.smooth())

    assert fast_webp.count(content, 200, 149) is None
    assert fast_webp.count(content, 199, 150) is None
    assert fast_webp.count(content, 400, 300) is None


def test_without_the_library_pillow_gives_the_same_numbers(monkeypatch):
    content = webp(b.smooth())
    fast = verdict(content)
    monkeypatch.setattr(fast_webp, "library", None)

    assert verdict(content) == fast
    assert measure(content).decoder == DECODER


def damaged(count):
    """Damaged images of every kind, among them cuts at all depths."""
    chance = random.Random(3)
    sources = [
        webp(image, **options)
        for image in (b.smooth((90, 70)), with_alpha(b.smooth((90, 70))))
        for options in (*COMPRESSED, {"quality": 40, "exif": b"Exif\0\0a", "icc_profile": b"odd"})
    ]
    return [chance.choice(KINDS)(chance.choice(sources), chance) for _ in range(count)]


def test_a_damaged_image_gets_pillows_answer(small_strips, monkeypatch):
    contents = damaged(2000)
    fast = [verdict(content) for content in contents]
    monkeypatch.setattr(fast_webp, "library", None)

    assert fast == [verdict(content) for content in contents]
    assert sum(not isinstance(one, str) for one in fast) > 200


def test_a_partition_no_encoder_writes_gets_pillows_answer(monkeypatch):
    content = bytearray(webp(b.smooth((90, 70)), quality=75))
    first = 20 + 10 + (int.from_bytes(content[20:23], "little") >> 5)
    content[first] = 0xFF
    differs = 0
    for calls in range(1, 200):
        monkeypatch.setattr(fast_webp, "_strips", lambda row, height, calls=calls: calls)
        assert fast_webp.count(bytes(content), 90, 70) in (None, by_pillow(bytes(content)))
        with monkeypatch.context() as careless:
            careless.setattr("red_service.decoding.webp.resumes", lambda content, frame: True)
            differs += fast_webp.count(bytes(content), 90, 70) != by_pillow(bytes(content))
    assert differs


def test_a_cut_image_is_never_counted(small_strips):
    for options in COMPRESSED:
        content = webp(with_alpha(b.smooth((90, 70))), **options)
        for end in range(0, len(content), 7):
            assert fast_webp.count(content[:end], 90, 70) is None


@pytest.mark.parametrize(
    ("options", "alpha", "bytes_a_pixel"),
    [(COMPRESSED[0], False, 1), (COMPRESSED[0], True, 6), (COMPRESSED[1], True, 5)],
    ids=("lossy", "lossy with alpha", "lossless"),
)
def test_a_decode_takes_no_memory_for_all_pixels(options, alpha, bytes_a_pixel, tmp_path):
    image = b.smooth((2000, 1500))
    image = with_alpha(image) if alpha else image
    (tmp_path / "large").write_bytes(webp(image, **options))
    (tmp_path / "small").write_bytes(webp(image.crop((0, 0, 64, 64)), **options))
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "large"), str(tmp_path / "small")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert int(done.stdout) < bytes_a_pixel * 3_000_000 + (10 << 20)
