"""Characters of the fonts Symbol and Wingdings, which have no Unicode of their own: boxes that are ticked, Greek."""

from __future__ import annotations

_WINGDINGS = {
    **dict.fromkeys((0xA8, 0x6F, 0x71, 0x72), "☐"),
    **dict.fromkeys((0xFE,), "☑"),
    **dict.fromkeys((0xFD, 0x78), "☒"),
    **{0xFC: "✓", 0xFB: "✗", 0x4A: "☺", 0x28: "☎", 0x2A: "✉"},
    **dict.fromkeys((0x6C, 0x6E, 0x76, 0x77, 0x9F, 0xA7, 0xD8, 0xB7), "•"),
    **{0xE0: "→", 0xDF: "←", 0xE1: "↑", 0xE2: "↓", 0xF0: "⇒"},
}
_WINGDINGS_2 = {0x52: "☑", 0x53: "☒", 0x54: "☒", 0xA3: "☐", 0x50: "✓", 0x4F: "✗", 0x97: "•", 0x98: "•"}
_SYMBOL = {
    **dict(zip(b"abgdezhqiklmnxoprstufcyw", "αβγδεζηθικλμνξοπρστυφχψω", strict=True)),
    **dict(zip(b"ABGDEZHQIKLMNXOPRSTUFCYW", "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ", strict=True)),
    **{0xB0: "°", 0xB1: "±", 0xB4: "×", 0xB8: "÷", 0xA3: "≤", 0xB3: "≥", 0xB9: "≠", 0xBB: "≈", 0xA5: "∞"},
    **{0xB7: "•", 0xAC: "←", 0xAE: "→", 0xDE: "⇒", 0xD7: "·", 0xC5: "⊕", 0xD2: "®", 0xD3: "©", 0xD4: "™"},
}
_FONTS = {"wingdings": _WINGDINGS, "wingdings 2": _WINGDINGS_2, "symbol": _SYMBOL}


def symbol(font: str, code: int) -> str:
    """Return the character that a font shows for a code, such as 0xF0FE; nothing where it only decorates."""
    return _FONTS.get(font.lower(), {}).get(code & 0xFF, "")
