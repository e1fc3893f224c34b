"""JPEGs like photographs: smooth shapes with noise, quality 85, 4:2:0."""

import io

import numpy as np
from PIL import Image

SIZES = {"0.3 MP": (640, 480), "2 MP": (1632, 1224), "12 MP": (4000, 3000)}


def photo(width: int, height: int, seed: int = 1, **options: object) -> bytes:
    y, x = np.mgrid[0:height, 0:width]
    planes = (128 + 80 * np.sin(x / 97 + y / 51), 128 + 80 * np.cos(x / 77), 120 + 60 * np.sin(y / 33))
    noise = np.random.default_rng(seed).normal(0, 9, (height, width, 3))
    pixels = (np.stack(planes, axis=-1) + noise).clip(0, 255).astype(np.uint8)
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, **{"format": "JPEG", "quality": 85, **options})  # type: ignore[arg-type]
    return target.getvalue()
