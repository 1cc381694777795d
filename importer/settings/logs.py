"""What is written to logs and sent to others."""

from __future__ import annotations

from releve.config.kinds.access_format import PRESETS, check_format
from releve.config.settings.settings import rules
from releve.importer.settings.draft import Draft
from releve.importer.settings.setting import Setting, carried, without

COMBINED = PRESETS["combined"]  # gunicorn's default is the same text
_LOG = "Messages go to standard error. systemd sends them to its journal, which can forward them to syslog."
_LOGGING = "Messages of Relève go to standard error; the application configures its own loggers."
_METRICS = "Relève does not push metrics; `ctl status --json` shows the numbers of every worker."


def _access(setting: Setting, draft: Draft) -> None:
    told = draft.site["accesslog"]
    draft.put(setting.key, _log(told, draft) if told else "off", of="accesslog")
    text = draft.site["access_log_format"]
    if told and text != COMBINED:
        try:
            check_format(text)
        except ValueError as error:
            draft.remark("access_log_format", f"{error}; left out, so the default applies: combined")
        else:
            draft.put("log.access_format", text, of="access_log_format")


def _errors(setting: Setting, draft: Draft) -> None:
    if told := draft.site["errorlog"]:
        draft.put(setting.key, _log(told, draft), of="errorlog")


def _log(told: str, draft: Draft) -> str:
    return told if told == "-" else draft.site.path(told)


def _level(setting: Setting, draft: Draft) -> None:
    known = rules()[setting.key]["choices"]
    level = str(draft.site["loglevel"]).lower()
    draft.put(setting.key, level if level in known else "error" if level == "critical" else "info", of="loglevel")
    if level not in known:
        draft.remark(
            "loglevel", setting.text if level == "critical" else f"no such level; it is one of {', '.join(known)}"
        )


SETTINGS = (
    carried(
        "accesslog",
        "text",
        None,
        "--access-logfile",
        "log.access",
        "The same; no access log is `off` (the default of Relève is standard output).",
        carry=_access,
    ),
    carried(
        "access_log_format",
        "text",
        COMBINED,
        "--access-logformat",
        "log.access_format",
        (
            "The same atoms, except headers with credentials, which are never logged. `%(h)s` is the "
            "client behind a trusted proxy."
        ),
    ),
    carried("loglevel", "text", "info", "--log-level", "log.level", "The same; `critical` is `error`.", carry=_level),
    carried(
        "errorlog",
        "text",
        "-",
        "--error-logfile --log-file",
        "log.file",
        "The same, also for the output of the application.",
        carry=_errors,
    ),
    without(
        "capture_output",
        "bool",
        False,
        "--capture-output",
        "Always on: what the application prints goes where the output of Relève goes.",
        "true",
    ),
    without("enable_stdio_inheritance", "bool", False, "-R --enable-stdio-inheritance", "Always on.", "true"),
    without("logconfig", "text", None, "--log-config", _LOGGING),
    without("logconfig_dict", "dict", {}, "", _LOGGING),
    without("logconfig_json", "text", None, "--log-config-json", _LOGGING),
    without("logger_class", "class", "gunicorn.glogging.Logger", "--logger-class", _LOGGING),
    without("syslog", "bool", False, "--log-syslog", _LOG, "true"),
    without("syslog_addr", "text", "udp://localhost:514", "--log-syslog-to", _LOG),
    without("syslog_facility", "text", "user", "--log-syslog-facility", _LOG),
    without("syslog_prefix", "text", None, "--log-syslog-prefix", _LOG),
    without("disable_redirect_access_to_syslog", "bool", False, "--disable-redirect-access-to-syslog", _LOG, "true"),
    without("statsd_host", "text", None, "--statsd-host", _METRICS),
    without("statsd_prefix", "text", "", "--statsd-prefix", _METRICS),
    without("dogstatsd_tags", "text", "", "--dogstatsd-tags", _METRICS),
    without("enable_backlog_metric", "bool", False, "--enable-backlog-metric", _METRICS, "true"),
)
