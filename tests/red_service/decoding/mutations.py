"""Damaged images by the thousand, the same in every run: bit flips, cuts, splices, repeated chunks."""

import random

from tests.red_service import builders as b


def originals():
    """Valid images of every format and of the kinds within each."""
    smooth = b.smooth((120, 90))
    return [
        b.encoded(smooth, "JPEG", quality=85),
        b.encoded(smooth, "JPEG", quality=70, progressive=True),
        b.encoded(smooth, "JPEG", quality=90, subsampling=0),
        b.encoded(smooth.convert("L"), "JPEG"),
        b.encoded(smooth.convert("CMYK"), "JPEG"),
        b.encoded(smooth),
        b.encoded(smooth.convert("RGBA")),
        b.encoded(smooth.quantize(64)),
        b.encoded(smooth.convert("L")),
        b.encoded(smooth, "GIF"),
        b.encoded(smooth, "GIF", save_all=True, append_images=[b.noise((120, 90))]),
        b.encoded(smooth, "WEBP", quality=70),
        b.encoded(smooth, "WEBP", lossless=True),
        b.encoded(smooth.convert("RGBA"), "WEBP", quality=70),
        b.encoded(smooth, "AVIF", quality=70),
    ]


def flipped(content, chance):
    damaged = bytearray(content)
    for _ in range(chance.choice((1, 2, 8, 64))):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def cut(content, chance):
    return content[: chance.randrange(len(content))]


def spliced(content, chance):
    start = chance.randrange(len(content))
    return content[:start] + content[min(len(content), start + chance.randrange(1, 2000)) :]


def repeated(content, chance):
    start = chance.randrange(len(content))
    piece = content[start : start + chance.randrange(1, 500)]
    return content[:start] + piece * chance.choice((2, 3, 20)) + content[start:]


def overwritten(content, chance):
    start = chance.randrange(len(content))
    piece = chance.choice((b"\xff" * 16, bytes(16), chance.randbytes(16)))
    return content[:start] + piece + content[start + 16 :]


KINDS = (flipped, cut, spliced, repeated, overwritten)


def mutations(count, seed=1):
    """`count` damaged images, one after the other."""
    chance, sources = random.Random(seed), originals()
    for _ in range(count):
        yield chance.choice(KINDS)(chance.choice(sources), chance)
