"""Calls of PDFium's functions that are made for each character or object of a page, millions of times."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any


@cache
def quick(name: str, *types: Any) -> Callable[..., int]:
    """Return a function of PDFium that takes addresses, and does not let other threads run meanwhile.

    To check each argument and to let go of the interpreter takes longer than to look a character up.

    Args:
        types: those of its result and of its arguments, as ctypes names them.
    """
    import pypdfium2.raw as pdfium

    called: Callable[..., int] = ctypes.PYFUNCTYPE(*types)(address_of(getattr(pdfium, name)))
    return called


def address_of(pointer: Any) -> int:
    """Return the address of a function, or that which a pointer holds. Raises ValueError if it is null."""
    address = ctypes.cast(pointer, ctypes.c_void_p).value
    if address is None:
        raise ValueError("a null pointer has no address")
    return address
