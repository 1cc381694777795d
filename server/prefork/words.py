"""In the master: what its workers may say on their control pairs, one form for each type of message
(``docs/protocol.md``).
"""

from __future__ import annotations

from releve.server.shared.form import PATH_MAX, Form, several, text, whole, word

CONNECTIONS_MAX = 2**32
_COUNT = whole(0, CONNECTIONS_MAX)

WORDS: dict[str, Form] = {
    "state": Form(needs={"state": word}, may={"given": _COUNT, "kept": _COUNT}),
    "reopened": Form(may={"id": whole()}),
    "recycle": Form(may={"reason": text()}),
    "spent": Form(),
    "failed": Form(may={"step": word, "reason": text(), "traceback": text()}),
    "remark": Form(needs={"text": text()}),
    "mixed": Form(may={"files": several(text(PATH_MAX))}),
}
