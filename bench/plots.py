"""Lines over time as SVG: a few panels with a legend, readable on white and on black."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT, LEFT, TOP = 760, 170, 60, 40
COLOURS = ("#d1242f", "#0969da", "#1a7f37", "#9a6700", "#8250df", "#57606a")


class Panel(NamedTuple):
    """A title and lines by name, each of (minute, value)."""

    title: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def drawn(title: str, panels: Sequence[Panel]) -> str:
    """The whole picture."""
    height = TOP + len(panels) * (HEIGHT + 50)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="24" font-size="15">{escape(title)}</text>',
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, TOP + number * (HEIGHT + 50))
    return "\n".join([*parts, "</svg>\n"])


def _panel(panel: Panel, top: int) -> list[str]:
    points = [point for line in panel.lines.values() for point in line]
    last = max((minute for minute, _ in points), default=1.0) or 1.0
    most = max((value for _, value in points), default=1.0) * 1.1 or 1.0
    base, right = top + HEIGHT, WIDTH - 150

    def place(minute: float, value: float) -> str:
        return f"{LEFT + minute / last * (right - LEFT):.1f},{base - value / most * (HEIGHT - 25):.1f}"

    parts = [
        f'<text x="{LEFT}" y="{top + 14}" font-size="12">{escape(panel.title)}</text>',
        f'<path d="M{LEFT} {top + 25}V{base}H{right}" fill="none" stroke="#57606a"/>',
        f'<text x="{LEFT - 6}" y="{top + 30}" font-size="11" text-anchor="end">{most:,.0f}</text>',
        f'<text x="{LEFT - 6}" y="{base}" font-size="11" text-anchor="end">0</text>',
        f'<text x="{right}" y="{base + 15}" font-size="11" text-anchor="end">{last:.0f} min</text>',
    ]
    for number, (name, line) in enumerate(panel.lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(place(*point) for point in line)
        y = top + 30 + 16 * number
        parts += [
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>',
            f'<text x="{right + 10}" y="{y}" font-size="12" fill="{colour}">{escape(name)}</text>',
        ]
    return parts
