"""Bar charts as SVG, for pages: a row of bars per label, each bar of one or more parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _LABELS, _RIGHT = 900, 330, 90
_ROW, _BAR, _TOP = 22, 14, 58
_COLOURS = ("#2563eb", "#f59e0b", "#9ca3af")


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
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
        ' font-family="sans-serif" font-size="12" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="bold" fill="#111827">{escape(title)}</text>',
    ]
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
