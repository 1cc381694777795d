"""Coverage-guided fuzzing of request heads, by every parser of them, and of PROXY protocol headers.

``make fuzz``, or ``python tests/fuzz/fuzz_head.py [option of libFuzzer ...] CORPUS ...``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))
with atheris.instrument_imports(include=["releve.server", "fuzz.grammar", "fuzz.prefaces"]):
    from fuzz import laws


def one_input(data: bytes) -> None:
    laws.check_head(data)
    laws.check_preface(data)


atheris.Setup(sys.argv, one_input)
atheris.Fuzz()
