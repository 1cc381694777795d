"""What is served, from where, as whom, and by what kind of process."""

from __future__ import annotations

from pathlib import Path

from releve.config.reading import paste
from releve.config.reading.sections import Names
from releve.importer.document.document import Entry
from releve.importer.document.failure import ImportFailure
from releve.importer.settings.draft import Draft
from releve.importer.settings.setting import Setting, carried, without
from releve.importer.settings.site import Site


def _app(setting: Setting, draft: Draft) -> None:
    site = draft.site
    if site["paste"] is not None:
        draft.entries[setting.key] = Entry(_app_of_paste(site), f"paste, {site.values['paste'].origin}")
        return
    target = site.app or site["wsgi_app"]
    if not target:
        raise ImportFailure(
            "cannot tell what is served: neither the file (wsgi_app) nor the command line names an application; "
            "name it: releve import FILE mysite.wsgi:application"
        )
    origin = "the command line" if site.app else f"wsgi_app, {site.values['wsgi_app'].origin}"
    draft.entries[setting.key] = Entry(target if ":" in target else f"{target}:application", origin)


def _app_of_paste(site: Site) -> str:
    file, _, name = str(site["paste"]).partition("#")
    variables = tuple(_pair(text) for text in site["raw_paste_global_conf"])
    names = Names(app=name or "main", variables=variables)
    return paste.application(Path(site.folder, file), names, site.directory)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ImportFailure(
            f"cannot use {text!r} as raw_paste_global_conf: expected NAME=VALUE; gunicorn refuses it too"
        )
    return name, value


def _chdir(setting: Setting, draft: Draft) -> None:
    draft.put(setting.key, draft.site.directory, of="chdir")
    if not draft.site.values["chdir"].given:
        draft.entries[setting.key] = Entry(draft.site.directory, "where gunicorn is started")


def _environment(setting: Setting, draft: Draft) -> None:
    """``raw_env``, what the file does to ``os.environ``, and ``pythonpath``."""
    site = draft.site
    variables = dict(site.environment)
    for text in site["raw_env"]:
        variable, equals, value = text.partition("=")
        if not variable or not equals:
            raise ImportFailure(f"cannot use {text!r} as raw_env: expected NAME=VALUE; gunicorn refuses it too")
        variables[variable] = value
    if site["pythonpath"]:
        # gunicorn puts one after the other in front, so that the last comes first
        folders = [site.path(part) for part in site["pythonpath"].split(",")]
        more = [variables["PYTHONPATH"]] if variables.get("PYTHONPATH") else []
        variables["PYTHONPATH"] = ":".join([*dict.fromkeys(reversed(folders)), *more])
    origins = [f"{name}, {site.values[name].origin}" for name in ("raw_env", "pythonpath") if site[name]]
    origins += ["set by the code of the file"] if site.environment else []
    if variables:
        draft.entries[setting.key] = Entry(variables, ", ".join(origins))


def _pythonpath(setting: Setting, draft: Draft) -> None:
    if draft.site["pythonpath"]:
        draft.remark("pythonpath", setting.text)


def _umask(setting: Setting, draft: Draft) -> None:
    if draft.site["umask"] and draft.site.values["umask"].given:
        draft.remark("umask", setting.text)


def _account(setting: Setting, draft: Draft) -> None:
    told = draft.site[setting.name]
    if told is not None:
        draft.put(setting.key, told, of=setting.name)
    elif setting.name == "group" and draft.site["user"] is not None:
        draft.remarks["group"] = (
            "group: not set; here it is the group of the user (gunicorn keeps the group that started it)"
        )


def _preload(setting: Setting, draft: Draft) -> None:
    if draft.site.values[setting.name].given:
        draft.put(setting.key, "true" if draft.site[setting.name] else "false", of=setting.name)


def _reload(setting: Setting, draft: Draft) -> None:
    if draft.site["reload"]:
        draft.put(setting.key, "code", of="reload")


SETTINGS = (
    carried("wsgi_app", "text", None, "", "app", "The same; `module` alone is `module:application`.", carry=_app),
    carried(
        "chdir",
        "folder",
        ".",
        "--chdir",
        "directory",
        "Folder of the release, which comes first in `sys.path`. A symlink to it is resolved again at each upgrade.",
        carry=_chdir,
    ),
    carried(
        "pythonpath",
        "text",
        None,
        "--pythonpath",
        "env",
        "`PYTHONPATH` in `env`; these folders come after `directory`, not before it.",
        carry=_pythonpath,
    ),
    carried(
        "raw_env",
        "texts",
        [],
        "-e --env",
        "env",
        "The same, one key each; a change needs `ctl upgrade`, a reload is not enough. "
        "Keep secrets in a separate file, `env_file`.",
        differs=True,
        action="append",
        carry=_environment,
    ),
    carried(
        "user", "user", None, "-u --user", "user", "The same, also for masters, and from their start.", carry=_account
    ),
    carried(
        "group",
        "group",
        None,
        "-g --group",
        "group",
        "The same. Without it, the group of the user (gunicorn keeps that of root).",
        carry=_account,
    ),
    without(
        "initgroups",
        "bool",
        False,
        "--initgroups",
        "Always on: Relève sets the supplementary groups of the user.",
        "true",
    ),
    carried(
        "umask",
        "mode",
        0,
        "-m --umask",
        "listen",
        "It only sets the mode of Unix sockets: here the `mode` of the address. "
        "The key `umask` is for the files that the application makes.",
        carry=_umask,
    ),
    carried(
        "preload_app",
        "bool",
        False,
        "--preload",
        "preload",
        "The same if it is on, except that each worker seeds random generators again. Otherwise "
        "`auto`, the default, preloads where "
        "that is safe; an upgrade loads new code either way.",
        differs=True,
        action="true",
        carry=_preload,
    ),
    carried(
        "reload",
        "bool",
        False,
        "--reload",
        "watch",
        "`watch: code`: an upgrade for each saved file; the old code keeps serving if the new one fails.",
        action="true",
        carry=_reload,
    ),
    without("reload_engine", "text", "auto", "--reload-engine", "There is one engine, inotify."),
    without(
        "reload_extra_files",
        "texts",
        [],
        "--reload-extra-file",
        (
            "`watch: code` watches the Python files of the release and the configuration; `ctl upgrade` "
            "after changing others."
        ),
        "append",
    ),
    without("sendfile", "bool", None, "--no-sendfile", "Always on, if the file system can.", "false"),
    without(
        "daemon",
        "bool",
        False,
        "-D --daemon",
        "Relève stays in the foreground, under a service manager: `releve systemd-unit -c FILE`.",
        "true",
    ),
    without(
        "pidfile",
        "text",
        None,
        "-p --pid",
        "There is no pid file; `ctl` finds the service, and `ctl status --json` shows the pids.",
    ),
    without(
        "proc_name",
        "text",
        None,
        "-n --name",
        "Their titles have the name of the configuration file: `releve: worker 8.1 shop`.",
    ),
    without("default_proc_name", "text", "gunicorn", "", "As `proc_name`."),
    without("worker_tmp_dir", "text", None, "--worker-tmp-dir", "Not needed: heartbeats are in memory, not on a disk."),
    without("tmp_upload_dir", "text", None, "", "Not needed: gunicorn does not use it either."),
    carried(
        "paste",
        "text",
        None,
        "--paste --paster",
        "app",
        "`app: releve.server.paste:load('FILE.ini')`, or `pserve` as before, with `use = egg:releve#main`.",
    ),
    carried(
        "raw_paste_global_conf",
        "texts",
        [],
        "--paste-global",
        "app",
        "The same: `variables={...}` of that `load`.",
        action="append",
    ),
)
