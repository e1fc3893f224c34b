"""Draws the picture that README's curl line sends: poppies, 43 % of it red by rule red-1."""

import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 640, 420


def poppies(seed: int = 7) -> Image.Image:
    """A meadow under a sky."""
    chance = random.Random(seed)
    image = Image.new("RGB", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(image)
    for y in range(HEIGHT):
        sky = y < 130
        colour = (150 + y // 3, 190 + y // 4, 235) if sky else (70 + y // 9, 130 - y // 9, 40)
        draw.line([(0, y), (WIDTH, y)], fill=colour)
    for _ in range(900):
        x, y = chance.randrange(WIDTH), chance.randrange(125, HEIGHT)
        draw.line([(x, y), (x + chance.randint(-3, 3), y - 14)], fill=(60, chance.randint(95, 150), 35))
    for number in range(150):
        y = 140 + number * (HEIGHT - 150) // 150
        x, size = chance.randrange(WIDTH), 5 + (y - 130) // 11
        red = chance.randint(185, 235)
        for turn in range(4):
            dx, dy = ((-1, 0), (1, 0), (0, -1), (0, 1))[turn]
            cx, cy = x + dx * size // 2, y + dy * size // 3
            draw.ellipse([cx - size, cy - size * 3 // 4, cx + size, cy + size * 3 // 4], fill=(red, 25, 20))
        draw.ellipse([x - size // 4, y - size // 4, x + size // 4, y + size // 4], fill=(25, 15, 20))
    return image.filter(ImageFilter.GaussianBlur(0.6))


if __name__ == "__main__":
    poppies().save(Path(__file__).with_name("poppies.jpg"), quality=82, optimize=True)
