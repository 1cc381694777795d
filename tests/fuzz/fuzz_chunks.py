"""Coverage-guided fuzzing of chunked bodies and ``wsgi.input``.

``make fuzz``, or ``python tests/fuzz/fuzz_chunks.py [option of libFuzzer ...] CORPUS ...``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))
with atheris.instrument_imports(include=["releve.server", "fuzz.grammar"]):
    from fuzz import body_laws


def one_input(data: bytes) -> None:
    body_laws.check_chunks(data)


atheris.Setup(sys.argv, one_input)
atheris.Fuzz()
