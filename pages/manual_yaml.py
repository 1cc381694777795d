"""The manual page of the configuration, ``releve.yaml(5)``, rendered from the table of settings.

``python -m releve.pages.manual_yaml PAGE`` writes it; a test compares.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

from releve import __version__
from releve.config.settings.key import key_of, settings_of
from releve.config.settings.settings import GROUPS, Settings
from releve.pages import configuration as reference
from releve.pages import roff

EXAMPLE = """\
app: mysite.wsgi:application
directory: /srv/mysite/current
listen: unix:/run/releve/mysite/http.sock
workers: auto
upgrade:
  check: /healthz
"""

VALUES = (
    ("duration", "`30s`, `5m`, `1h30m`, `250ms`. A bare number has no unit and is refused."),
    ("size", "`8190`, `64KiB`, `1MiB`, `1MB`. A bare number is bytes."),
    ("none", "`off`, `unlimited` or `auto`; the list below says which word a key takes. `0` never means none."),
    ("text", "Text stays text: it is never turned into a number or a boolean."),
    (
        "path",
        (
            "A relative one starts in the folder of the file. Links are followed when a generation starts, "
            "not when the file is read."
        ),
    ),
    (
        "address",
        "`127.0.0.1:8000`, `:8000`, `[::]:8000`, `unix:/run/my.sock`, `fd:NAME` for a socket that "
        "systemd passes on, or a block "
        "with `unix`, `mode`, `owner` and `group`.",
    ),
)


def manual() -> str:
    """The text of ``releve.yaml.5``, as roff."""
    top = [field for field in settings_of(Settings) if field.name not in GROUPS]
    sections = [
        ("DESCRIPTION", _description()),
        ("EXAMPLE", roff.example(EXAMPLE)[1:]),
        ("VALUES", roff.terms((roff.italic(kind), roff.prose(text)) for kind, text in VALUES)),
        ("SETTINGS", _settings(top, "")),
    ]
    for field in settings_of(Settings):
        if field.name in GROUPS:
            group = [
                roff.prose(field.metadata["help"]),
                *_settings(dataclasses.fields(GROUPS[field.name]), f"{field.name}."),
            ]
            sections.append((field.name.upper(), group))
    for title, block in reference.BLOCKS:
        words = title.replace("`", "").upper()
        sections.append(
            (f"{words}, AS A BLOCK", [roff.prose(reference.about(block)), *_settings(dataclasses.fields(block), "")])
        )
    sections.append(("SEE ALSO", roff.see("releve(1)", "ctl(1)")))
    return roff.page("releve.yaml", 5, "what Relève serves, and how", __version__, sections)


def _description() -> list[str]:
    return roff.paragraphs(
        "One YAML file configures one service of `releve`. Duplicate keys, unknown keys, tags and merge keys are "
        "errors; `releve check -c FILE` names the line and column of each, and the nearest known key.",
        "A flag overrides a variable, a variable overrides the file, and the file overrides the default. The "
        "variables are `RELEVE_` and the key "
        "in capitals (`RELEVE_WORKERS`, `RELEVE_TIMEOUTS_DRAIN`), and `PORT` and `WEB_CONCURRENCY` as "
        "other servers know them.",
        "A change takes effect at a reload (`ctl reload`), an upgrade (`ctl upgrade`, which is a "
        "reload too), a restart of the "
        "supervisor, or the next start of the service, as each setting says.",
    )


def _settings(fields: Any, prefix: str) -> list[str]:
    return roff.terms(_setting(field, prefix) for field in fields)


def _setting(field: dataclasses.Field[Any], prefix: str) -> tuple[str, str]:
    _, value, default, text, when = reference.cells(field, prefix)
    facts = (
        [value]
        + ["required" if default == "required" else f"default: {default}"] * bool(default)
        + [f"takes effect at: {when}"]
    )
    return roff.bold(f"{prefix}{key_of(field)}"), f"{roff.prose(text)}\n.br\n{roff.prose('; '.join(facts))}"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(manual(), encoding="utf-8")
