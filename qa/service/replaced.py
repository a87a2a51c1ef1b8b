"""What was served before, which keeps its files in memory and on the disk until nothing refers to it any more."""

from __future__ import annotations

import gc
import threading
import weakref


class Replaced:
    """Objects that are no longer served: garbage is looked for while something still holds one of them.

    Nearly always they are freed as soon as no request uses them. What an error has tied into a circle would stay until
    the interpreter looks for garbage by itself, which in a server that rests may be hours later. Thread-safe.
    """

    def __init__(self) -> None:
        self._held: list[weakref.ref[object]] = []
        self._looks = 0
        self._lock = threading.Lock()

    def add(self, served: object) -> None:
        """Add what was just replaced; requests may still use it."""
        with self._lock:
            self._held.append(weakref.ref(served))
            self._looks = 0

    def look(self) -> None:
        """Collect garbage where something is still held, ever more rarely: a request may hold it for long.

        That stops all threads for a tenth of a second or less, which is why it is not done where nothing is held.
        """
        with self._lock:
            self._held = [each for each in self._held if each() is not None]
            self._looks += bool(self._held)
            # Not at the first look, right after the switch; then at the 2nd, 4th, 8th and so on.
            is_due = bool(self._held) and self._looks > 1 and self._looks.bit_count() == 1
        if is_due:
            gc.collect()
