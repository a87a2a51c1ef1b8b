"""What an operator decides of the web application, from the settings."""

from __future__ import annotations

from dataclasses import dataclass

from qa.settings import Settings


@dataclass(frozen=True, slots=True)
class Options:
    """``max_body_bytes`` is by default as much as the limits of the service can fill."""

    max_body_bytes: int | None = None
    max_upload_bytes: int = 20_000_000
    max_waiting: int = 128
    cache_bytes: int = 0
    cache_seconds: float = 60.0

    @classmethod
    def of(cls, settings: Settings) -> Options:
        return cls(
            max_upload_bytes=settings.max_upload_mb * 10**6,
            max_waiting=settings.max_waiting,
            cache_bytes=settings.cache_mb * 10**6,
            cache_seconds=settings.cache_seconds,
        )
