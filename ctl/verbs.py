"""The verbs as ``ctl`` sees them: one row for each, which says what becomes of its wait and of its result.

Their options are commands of ``ctl/main.py``, of the same names; what they do is for the supervisor to know
(``supervisor/verbs/verbs.py``), which may be of another release.
"""

from __future__ import annotations

from releve.config.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Verb:
    """A row of the table."""

    goes_on: str = ""  # what goes on after an interrupted wait, and what can be done about it; empty: nothing does
    shows: str = ""  # what there is in its result to be shown as a picture, by the module of its name in ``screens/``
    changes: str = ""  # what of a generation it changes, as the history has it
    undone: bool = True  # where its supervisor dies; else the master goes on with it
    asks: bool = False  # what it prints is all that it is for


VERBS = {
    "status": Verb(asks=True, shows="service"),
    "upgrade": Verb("the upgrade continues: ctl status, ctl abort", changes="generation"),
    "reload": Verb("the reload continues: ctl status, ctl abort", changes="settings_revision"),
    "rollback": Verb("the rollback continues: ctl status", changes="generation"),
    "stop": Verb("the stop continues: ctl status, ctl stop --now"),
    "scale": Verb("the scaling continues: ctl status", changes="workers"),
    "abort": Verb("the abort continues: ctl status"),
    "reexec": Verb("it continues: ctl status"),
    "history": Verb(asks=True, shows="entries"),
    "check": Verb("the check continues and changes nothing", asks=True),
    "reopen": Verb("the reopening continues"),
    "workers": Verb(asks=True, shows="workers"),
    "dump": Verb(asks=True, shows="processes"),
    "drain": Verb(),
    "undrain": Verb(),
    "doctor": Verb(asks=True, shows="findings"),
    "logs": Verb(asks=True),
    "config": Verb(asks=True, shows="settings"),
    "restart": Verb("the restart continues: ctl status, ctl workers", undone=False),
}
