"""Pictures like photographs: smooth shapes with noise, as JPEG of quality 85, 4:2:0, or as told."""

import io

import numpy as np
from PIL import Image

SIZES = {"0.3 MP": (640, 480), "2 MP": (1632, 1224), "12 MP": (4000, 3000)}


def photo(
    width: int, height: int, seed: int = 1, *, noise: float = 9, alpha: bool = False, **options: object
) -> bytes:
    y, x = np.mgrid[0:height, 0:width]
    planes = (128 + 80 * np.sin(x / 97 + y / 51), 128 + 80 * np.cos(x / 77), 120 + 60 * np.sin(y / 33))
    grain = np.random.default_rng(seed).normal(0, noise, (height, width, 3))
    pixels = (np.stack(planes, axis=-1) + grain).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    if alpha:
        image.putalpha(Image.fromarray((128 + 127 * np.sin(x / 61 - y / 43)).astype(np.uint8)))
    target = io.BytesIO()
    image.save(target, **{"format": "JPEG", "quality": 85, **options})  # type: ignore[arg-type]
    return target.getvalue()
