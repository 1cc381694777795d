"""From what a gunicorn serves with to what Relève would: keys of ours, and remarks on all that has no equivalent or
differs.
"""

from __future__ import annotations

from releve.importer.document.document import Entry
from releve.importer.settings import values
from releve.importer.settings.draft import Draft
from releve.importer.settings.site import Site
from releve.importer.settings.table import SETTINGS

# What is carried over, in the order that the keys shall have.
ORDER = (
    *("wsgi_app", "chdir", "bind", "umask", "workers", "threads", "preload_app", "raw_env", "pythonpath"),
    *("user", "group", "reload"),
    *("limit_request_line", "limit_request_fields", "limit_request_field_size", "worker_connections"),
    *("max_requests", "max_requests_jitter", "backlog", "timeout", "graceful_timeout", "keepalive"),
    *("forwarded_allow_ips", "proxy_protocol", "accesslog", "errorlog", "loglevel"),
)


def translate(site: Site) -> Draft:
    """The whole site. Raises ImportFailure if there is nothing that could be served."""
    draft = Draft(site)
    for name in ORDER:
        setting = SETTINGS[name]
        if setting.carry is not None:
            setting.carry(setting, draft)
    if site.python is not None:
        draft.entries["python"] = Entry(site.python, "the one that gunicorn runs on")
    for name, setting in SETTINGS.items():
        held = site.values[name]
        default = None if setting.kind == "hook" else values.convert(setting.kind, setting.default)
        changed = held.given and held.value != default
        if changed and name not in draft.remarks and (setting.differs or not setting.key) and name != "config":
            draft.remark(name, setting.text)
    for note in site.notes:
        draft.remarks[note] = note
    return draft
