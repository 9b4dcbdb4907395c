"""The mark of a model in a legend: its line, dashed as in the plots, and its marker."""

from .style import Style

_SHAPES = {  # around (0, 0), about 10 wide
    "o": '<circle r="4.5"/>',
    "s": '<rect x="-4" y="-4" width="8" height="8"/>',
    "^": '<path d="M0-5 5 4H-5Z"/>',
    "v": '<path d="M0 5 5-4H-5Z"/>',
    "<": '<path d="M-5 0 4-5V5Z"/>',
    "D": '<path d="M0-5.5 5.5 0 0 5.5-5.5 0Z"/>',
    "P": '<path d="M-1.8-5h3.6v3.2H5v3.6H1.8V5h-3.6V1.8H-5v-3.6h3.2Z"/>',
    "X": '<path d="M-5-2.4-2.4-5 0-2.6 2.4-5 5-2.4 2.6 0 5 2.4 2.4 5 0 2.6-2.4 5-5 2.4-2.6 0Z"/>',
    "*": '<path d="M0-6.5 1.5-2.1 6.2-2 2.5.8 3.8 5.3 0 2.6-3.8 5.3-2.5.8-6.2-2-1.5-2.1Z"/>',
}


def swatch(style: Style, variable: str) -> str:
    """An `<svg>` that the reader's eye matches; for other readers it is hidden.

    Args:
        variable: the color as CSS, for example `var(--series-0, #0072b2)`.
    """
    dash = f' stroke-dasharray="{style.dash}"' if style.dash else ""
    return (
        '<svg class="swatch" viewBox="-18 -8 36 16" width="36" height="16" aria-hidden="true">'
        f'<g fill="var(--paper, #fefefe)" stroke="{variable}" stroke-width="2">'
        f'<path d="M-17 0H17"{dash}/>{_SHAPES[style.marker]}</g></svg>'
    )
