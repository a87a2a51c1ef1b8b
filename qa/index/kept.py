"""Results that a method keeps, without keeping alive the object that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakMethod

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper

Result = TypeVar("Result")


def keep_results(most: int, method: Callable[..., Result]) -> _lru_cache_wrapper[Result]:
    """Return a function that calls a method of an object, and keeps the ``most`` results that were used last.

    An object that has such a function of its own method is still freed as soon as nobody uses it.
    ``functools.lru_cache`` would tie both in a circle, and what a replaced snapshot maps would stay until garbage is
    looked for. Whoever calls the function must hold the object.
    """
    of = WeakMethod(method)

    @lru_cache(maxsize=most)
    def call(*arguments: Hashable) -> Result:
        bound = of()
        assert bound is not None, "the object of a method that keeps its results is gone"
        return bound(*arguments)

    return call
