"""Server sections: what they say, by PasteDeploy's own reading."""

from __future__ import annotations

from pathlib import Path

import pytest

from releve.config.errors import ConfigError
from releve.config.reading.sections import Names, is_paste, read_section

APP = "[app:main]\nuse = egg:shop\n"

SECTIONS = {
    "plain": "[server:main]\nuse = egg:releve#main\nworkers = 3\nTimeouts = 1\n",
    "without a name": "[server:main]\nuse = egg:releve\nhost = 10.0.0.1\nport: 80\n",
    "defaults": (
        "[DEFAULT]\nlevel = info\nworkers = 9\n[server:main]\nuse = egg:releve#main\nlog.level = "
        "%(level)s\nworkers = 3\n"
    ),
    "here and the file": (
        "[server:main]\nuse = egg:releve#main\nrun = %(here)s/run\nfile = %(__file__)s\nby = %(__script__)s\n"
    ),
    "set and get": (
        "[DEFAULT]\na = 1\n[server:main]\nuse = egg:releve#main\nset color = blue\nget workers = a\nthreads = 2\n"
    ),
    "another section": (
        "[server:base]\nuse = egg:releve#main\nworkers = 3\nthreads = 2\n[server:main]\nuse = base\nthreads = 4\n"
    ),
    "another file": "[server:main]\nuse = config:base.ini#far\nthreads = 4\n",
    "a variable": "[server:main]\nuse = egg:releve#main\nport = %(port)s\nhost = %(host)s\n",
    "a variable that has a default": (
        "[DEFAULT]\nhost = 10.1.1.1\n[server:main]\nuse = egg:releve#main\nlisten = %(host)s:80\n"
    ),
    "several lines": "[server:main]\nuse = egg:releve#main\nlisten =\n    127.0.0.1:1\n    127.0.0.1:2\n",
    "explicit": "[server:main]\npaste.server_runner = releve.supervisor.paste:serve\nworkers = 2\n",
    "percent": "[server:main]\nuse = egg:releve#main\nlog.access_format = %%(h)s %%(r)s\n",
}


@pytest.mark.parametrize("text", SECTIONS.values(), ids=SECTIONS)
def test_a_section_says_what_pastedeploy_reads_in_it(text: str, tmp_path: Path) -> None:
    loadwsgi = pytest.importorskip("paste.deploy.loadwsgi")
    (tmp_path / "base.ini").write_text("[server:far]\nuse = egg:releve#main\nworkers = 7\nthreads = 1\n")
    file = tmp_path / "site.ini"
    file.write_text(APP + text)
    variables = {"port": "81", "host": "10.2.2.2", "__script__": "pserve"}
    theirs = loadwsgi.loadcontext(loadwsgi.SERVER, f"config:{file}", global_conf=variables)
    ours = read_section(file, Names(variables=tuple(variables.items())))
    assert ours.texts == dict(theirs.local_conf)
    assert ours.additions.items() <= theirs.global_conf.items()


def test_a_section_that_uses_itself_goes_in_a_circle(tmp_path: Path) -> None:
    file = tmp_path / "site.ini"
    file.write_text("[server:main]\nuse = config:site.ini#main\n")
    with pytest.raises(ConfigError, match=r"cannot read \[server:main\]: its `use` lines form a circle"):
        read_section(file, Names())


def test_the_names_as_flags_and_the_ending() -> None:
    assert Names().flags() == ()
    assert Names("a", "main", (("x", "1"),)).flags() == ("--server-name", "a", "--define", "x=1")
    assert [is_paste(path) for path in (Path("a.ini"), Path("a.yaml"), None)] == [True, False, False]
