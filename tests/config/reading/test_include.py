"""``include``: what other files add, and what is refused, each with file, line and column."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from releve.config.errors import ConfigError
from releve.config.reading.load import Loaded, load
from releve.config.settings.wire import from_wire, to_wire


def refused(folder: Path, text: str, **files: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        written(folder, text, **files)
    return str(caught.value).replace(f"{folder}/", "").split("\n")


def written(folder: Path, text: str, **files: str) -> Loaded:
    (folder / "conf.d").mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / "conf.d" / f"{name}.yaml").write_text(content)
    path = folder / "releve.yaml"
    path.write_text(text)
    return load(path)


def test_a_thousand_of_them_fit_into_one_message(tmp_path: Path) -> None:
    many = {
        f"customer-{n:04}": f"mounts:\n  /customers/customer-{n:04}: customers.customer_{n:04}.wsgi:application\n"
        for n in range(1000)
    }
    settings = written(tmp_path, "include: conf.d/*.yaml\n", **many).settings
    assert len(settings.mounts) == 1000
    assert from_wire(json.loads(json.dumps(to_wire(settings)))) == settings


def test_included_files_add_in_the_order_of_their_names(tmp_path: Path) -> None:
    loaded = written(
        tmp_path, "include: conf.d/*.yaml\nworkers: 3\n", b="mounts: {/b: b:app}", a="mounts: {/a: a:app}\nthreads: 4\n"
    )
    assert [mount.prefix for mount in loaded.settings.mounts] == ["/a", "/b"]
    assert (loaded.settings.workers, loaded.settings.threads) == (3, 4)
    assert [path.name for path in loaded.included] == ["a.yaml", "b.yaml"]


def test_what_is_given_twice_names_both_places(tmp_path: Path) -> None:
    problems = refused(
        tmp_path, "include: conf.d/*\nworkers: 3\n", a="mounts: {/a: a:app}", b="workers: 2\nmounts: {/a: b:app}"
    )
    assert problems == [
        "conf.d/b.yaml:1:1: cannot use 'workers' twice: it is at releve.yaml:2:1 already",
        "conf.d/b.yaml:2:10: cannot use '/a' in mounts twice: it is at conf.d/a.yaml:1:10 already",
    ]


def test_a_problem_in_an_included_file_has_its_place(tmp_path: Path) -> None:
    assert refused(tmp_path, "include: conf.d/*\napp: a:b\n", a="\nworkerz: 2\n")[0].startswith(
        "conf.d/a.yaml:2:1: cannot use 'workerz'"
    )


def test_a_pattern_may_match_nothing_and_a_name_may_not(tmp_path: Path) -> None:
    assert written(tmp_path, "app: a:b\ninclude: conf.d/*.yaml\n").included == ()
    assert refused(tmp_path, "app: a:b\ninclude: [gone.yaml]\n") == [
        "releve.yaml:2:11: cannot include 'gone.yaml': no such file"
    ]


def test_an_included_file_includes_nothing(tmp_path: Path) -> None:
    problems = refused(tmp_path, "app: a:b\ninclude: conf.d/*\n", a="include: b.yaml\n")
    assert problems == ["conf.d/a.yaml:1:1: cannot include from an included file: only the main one includes"]
