"""The figures as a picture: one group of bars for each load, requests per second as a share of Relève's."""

from __future__ import annotations

from html import escape

Rates = dict[str, dict[str, float]]  # load -> server -> requests per second

WIDTH, LEFT, BAR, GAP = 900, 150, 15, 26
COLOURS = {"releve": "#b3202c"}
OTHERS = "#8a97a8"


def svg(rates: Rates, title: str) -> str:
    """An SVG document. The bar of Relève has the length 1; longer ones are cut where they would leave the picture."""
    parts: list[str] = []
    y = 46
    room = WIDTH - LEFT - 190
    for load, servers in rates.items():
        ours = servers["releve"]
        longest = max(rate / ours for rate in servers.values())
        parts.append(f'<text x="{LEFT}" y="{y}" font-weight="bold">{escape(load)}</text>')
        y += 8
        for server, rate in sorted(servers.items(), key=lambda item: -item[1]):
            share = rate / ours
            width = max(1.0, room * share / max(1.0, longest))
            parts.append(f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(server)}</text>')
            parts.append(
                f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{COLOURS.get(server, OTHERS)}"/>'
            )
            parts.append(f'<text x="{LEFT + width + 6:.1f}" y="{y + 12}">{rate:,.0f}/s, {share:.2f}</text>')
            y += BAR + 3
        y += GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" font-family="sans-serif" font-size="12">'
    )
    words = f'<rect width="100%" height="100%" fill="white"/><text x="16" y="22" font-size="14">{escape(title)}</text>'
    return "\n".join([head, words, *parts, "</svg>", ""])
