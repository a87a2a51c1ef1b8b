"""Write what the default model is compared with when it is compiled: ``python -m benchmarks.encoder_reference``.

To be run after the probes of :mod:`qa.models.compilation` or the default model have changed. Needs ``qa[build]``.
"""

from __future__ import annotations

import os

from qa.models.files import locate
from qa.models.reference import REFERENCE, make_reference, write_reference
from qa.models.sentence_transformers import SentenceTransformerEncoder
from qa.settings import DEFAULT_MODEL


def main() -> None:
    """Encode the probes with sentence-transformers, and write the file."""
    files = locate(DEFAULT_MODEL)
    write_reference(files, make_reference(SentenceTransformerEncoder(files, threads=os.cpu_count() or 1)))
    print(f"{REFERENCE}: {REFERENCE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
