"""Calls of PDFium's functions that are made for each character or object of a page, millions of times."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


@cache
def quickest(name: str) -> Callable[..., int]:
    """Return a function of PDFium that returns an integer and takes arguments as C has them, which nothing checks.

    Integers of 32 bits are given as they are, and addresses as :func:`pointers` makes them. It takes two thirds of the
    time that one of :func:`quick` does.
    """
    import pypdfium2.raw as pdfium

    called: Callable[..., int] = ctypes.PYFUNCTYPE(ctypes.c_int)(address_of(getattr(pdfium, name)))
    return called


def pointers(addresses: Iterable[int]) -> Iterator[Any]:
    """Return arguments for functions of :func:`quickest`."""
    return map(ctypes.c_void_p.from_param, addresses)


# What one block of calls writes: rows of four numbers of four bytes.
_ROWS, _COLUMNS, _SIZE = 4_096, 4, 4


@cache
def _room() -> tuple[NDArray[np.uint8], list[list[Any]]]:
    """Return room for what calls write, and pointers to the numbers of each column. It is one, as PDFium's lock is."""
    room = np.zeros(_ROWS * _COLUMNS * _SIZE, np.uint8)
    first = room.ctypes.data
    columns = (range(first + at * _SIZE, first + room.nbytes, _COLUMNS * _SIZE) for at in range(_COLUMNS))
    return room, [list(pointers(column)) for column in columns]


def call_for_rows(
    name: str, *arguments: Sequence[Any], columns: int, kind: type[np.generic]
) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Call a function of PDFium for each place of its arguments, all of one length, in loops that run in C.

    Args:
        columns: how many pointers it takes at its end: one to four numbers, or one to each of them.
        kind: of the numbers, of four bytes each.

    Returns:
        Whether each call succeeded, and what each wrote: ``(n, 4)``.
    """
    call, count = quickest(name), len(arguments[0])
    room, targets = _room()
    is_done, rows = np.zeros(count, np.bool_), np.zeros((count, _COLUMNS), kind)
    for first in range(0, count, _ROWS):
        last = min(first + _ROWS, count)
        given = (argument[first:last] for argument in arguments)
        room[: (last - first) * _COLUMNS * _SIZE] = 0
        done = map(call, *given, *targets[:columns])
        is_done[first:last] = np.fromiter(islice(done, last - first), np.int64, last - first) != 0
        rows[first:last] = room.view(kind).reshape(-1, _COLUMNS)[: last - first]
    return is_done, rows


def address_of(pointer: Any) -> int:
    """Return the address of a function, or that which a pointer holds. Raises ValueError if it is null."""
    address = ctypes.cast(pointer, ctypes.c_void_p).value
    if address is None:
        raise ValueError("a null pointer has no address")
    return address
