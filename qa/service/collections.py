"""The collections of one server: a service over each index, and one set of models for all of them.

Each has its own snapshots, calibration and readiness. One that cannot be served keeps none of the others from it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from qa.models.loading import Models
from qa.service.maintenance import Maintenance
from qa.service.service import Service
from qa.settings import Settings
from qa.types import State


@dataclass(frozen=True, slots=True)
class Served:
    """A collection that is served: its settings, which name its index, and what may be done with it."""

    settings: Settings
    service: Service
    maintenance: Maintenance

    @property
    def name(self) -> str:
        """The name of the collection, which is that of its index."""
        return self.settings.name


class Collections:
    """The collections of one server in the order of their names as given; the first is the default one.

    Whoever updates an index of them holds ``turn``.

    Raises:
        SettingsError: a name is no plain name.
    """

    def __init__(self, settings: Settings, names: Sequence[str], models: Models) -> None:
        # One index is updated at a time: a build takes all of a machine, and memory of its own.
        self.turn = threading.Lock()
        self._served = []
        for name in dict.fromkeys(names):
            own = settings.model_copy(update={"name": name})
            service = Service(own, models=models)
            self._served.append(Served(own, service, Maintenance(own, service, self.turn)))

    def __iter__(self) -> Iterator[Served]:
        return iter(self._served)

    def __len__(self) -> int:
        return len(self._served)

    @property
    def default(self) -> Served:
        """The collection that is asked where none is named."""
        return self._served[0]

    def keep_current(self, stopped: threading.Event, on_ready: Callable[[State], None]) -> list[threading.Thread]:
        """Load each collection, and each snapshot of it that becomes current, in a thread of its own for each."""
        threads = [
            threading.Thread(
                target=one.service.keep_current, args=(stopped, on_ready), daemon=True, name=f"keep-{one.name}"
            )
            for one in self
        ]
        for thread in threads:
            thread.start()
        return threads
