"""Charts as SVG, for pages: bars, one row per label with one or more parts, and lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _LABELS, _RIGHT = 900, 330, 90
_ROW, _BAR, _TOP = 22, 14, 58
_COLOURS = ("#2563eb", "#f59e0b", "#9ca3af")
_LINES = ("#111827", "#2563eb", "#f59e0b", "#10b981")
_LEFT, _FOOT, _HEIGHT = 60, 40, 260


@dataclass(frozen=True)
class Bar:
    """A labelled bar. `parts` are stacked from the left; `note` is written behind it; `muted` draws it in grey."""

    label: str
    parts: Sequence[float]
    note: str
    muted: bool = False


def bars(title: str, rows: Sequence[Bar], *, legend: Sequence[str] = (), line: float | None = None) -> str:
    """The chart; `line` is a value at which a vertical line is drawn."""
    longest = max([sum(row.parts) for row in rows] + ([line] if line is not None else [])) or 1.0
    scale = (_WIDTH - _LABELS - _RIGHT) / longest
    height = _TOP + _ROW * len(rows) + 14
    out = _begun(title, height)
    for number, name in enumerate(legend):
        at = _LABELS + 190 * number
        out.append(f'<rect x="{at}" y="34" width="12" height="12" fill="{_COLOURS[number]}"/>')
        out.append(f'<text x="{at + 18}" y="44" fill="#374151">{escape(name)}</text>')
    for number, row in enumerate(rows):
        y = _TOP + _ROW * number
        out.append(f'<text x="{_LABELS - 8}" y="{y + 12}" text-anchor="end" fill="#374151">{escape(row.label)}</text>')
        x = float(_LABELS)
        for part, value in enumerate(row.parts):
            colour = _COLOURS[-1] if row.muted and len(row.parts) == 1 else _COLOURS[part]
            faded = ' fill-opacity="0.45"' if row.muted else ""
            width = value * scale
            out.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{colour}"{faded}/>')
            x += width
        out.append(f'<text x="{x + 6:.1f}" y="{y + 12}" fill="#111827">{escape(row.note)}</text>')
    if line is not None:
        x = _LABELS + line * scale
        y = _TOP + _ROW * len(rows)
        out.append(
            f'<line x1="{x:.1f}" y1="{_TOP - 6}" x2="{x:.1f}" y2="{y}" stroke="#dc2626" stroke-dasharray="4 3"/>'
        )
    return "\n".join([*out, "</svg>"]) + "\n"


def lines(title: str, x: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Values over `x`, whose axis is logarithmic (a zero stands a step before the rest); the other begins at zero."""
    xs = sorted({at for points in series.values() for at, _ in points})
    positive = [at for at in xs if at > 0] or [1.0]
    low, high = math.log(positive[0]), math.log(positive[-1])
    before = (high - low) / max(1, len(positive) - 1)
    left = low - before if xs[0] <= 0 else low
    highest = max((value for points in series.values() for _, value in points), default=0.0) or 1.0
    width, bottom = _WIDTH - _LEFT - 30, _TOP + _HEIGHT

    def place(at: float, value: float) -> tuple[float, float]:
        along = ((math.log(at) if at > 0 else left) - left) / ((high - left) or 1.0)
        return _LEFT + along * width, bottom - value / highest * _HEIGHT

    out = _begun(title, bottom + _FOOT)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = bottom - share * _HEIGHT
        out.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_LEFT + width}" y2="{y:.1f}" stroke="#e5e7eb"/>')
        out.append(
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#374151">{highest * share:.3g}</text>'
        )
    for at in xs:
        there = place(at, 0)[0]
        out.append(f'<text x="{there:.1f}" y="{bottom + 16}" text-anchor="middle" fill="#374151">{at:,g}</text>')
    middle = _LEFT + width / 2
    out.append(f'<text x="{middle:.1f}" y="{bottom + 32}" text-anchor="middle" fill="#374151">{escape(x)}</text>')
    for number, (name, points) in enumerate(series.items()):
        at = _LEFT + 200 * number
        out.append(f'<rect x="{at}" y="36" width="12" height="4" fill="{_LINES[number]}"/>')
        out.append(f'<text x="{at + 18}" y="44" fill="#374151">{escape(name)}</text>')
        path = " ".join(f"{along:.1f},{up:.1f}" for along, up in (place(*point) for point in points))
        out.append(f'<polyline points="{path}" fill="none" stroke="{_LINES[number]}" stroke-width="2"/>')
    return "\n".join([*out, "</svg>"]) + "\n"


def _begun(title: str, height: int) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
        ' font-family="sans-serif" font-size="12" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="bold" fill="#111827">{escape(title)}</text>',
    ]
