"""``watch``: a saved file or a flipped link is an upgrade; a mistake keeps what runs."""

from __future__ import annotations

from pathlib import Path

from harness.load import strictly
from harness.service import Service, eventually, serving


def release_of(service: Service, name: str) -> None:
    eventually(lambda: service.who()["release"] == name, f"release {name} answers", 20.0)


def test_code_upgrades_on_a_saved_file(tmp_path: Path) -> None:
    with serving(tmp_path, workers=1, watch="code") as service, strictly(*service.addresses, clients=6) as load:
        file = service.releases / "one" / "release.py"
        file.write_text("RELEASE = 'saved'\n")
        release_of(service, "saved")
        eventually(lambda: len(service.status()["generations"]) == 1, "no generation stands by")
        beside = file.with_suffix(".new")
        beside.write_text("RELEASE = 'renamed over'\n")
        beside.rename(file)  # as many editors save
        release_of(service, "renamed over")
        load.wait(20)


def test_code_with_a_syntax_error_keeps_what_runs(tmp_path: Path) -> None:
    with (
        serving(tmp_path, workers=1, watch="code") as service,
        strictly(*service.addresses, serving=1, clients=6) as load,
    ):
        workers = service.workers()
        file = service.releases / "one" / "release.py"
        file.write_text("RELEASE = 'unfinished\n")
        eventually(lambda: service.status()["service"]["syntax_errors"], "the syntax error is shown", 10.0)
        assert "release.py" in service.ctl("status").stdout
        assert "release.py" in service.log()
        load.wait(50)
        assert (service.workers(), service.who()["release"]) == (workers, "one")
        load.stop()
        file.write_text("RELEASE = 'mended'\n")
        release_of(service, "mended")
        assert not service.status()["service"]["syntax_errors"]


def test_code_that_does_not_import_keeps_what_runs(tmp_path: Path) -> None:
    with serving(tmp_path, workers=1, watch="code") as service:
        workers = service.workers()
        (service.releases / "one" / "release.py").write_text("raise RuntimeError('not today')\n")
        eventually(lambda: service.status()["last"]["outcome"] == "failed", "the upgrade has failed", 10.0)
        assert service.workers() == workers
        assert "not today" in service.log()


def test_many_files_are_one_upgrade(tmp_path: Path) -> None:
    with serving(tmp_path, workers=1, watch="code") as service:
        for number in range(50):
            (service.releases / "one" / f"module{number}.py").write_text(f"NUMBER = {number}\n")
        (service.releases / "one" / "release.py").write_text("RELEASE = 'many'\n")
        release_of(service, "many")
        eventually(lambda: not service.status()["service"]["operation"], "the upgrades have ended")
        assert service.serving() <= 3


def test_release_upgrades_when_the_link_is_flipped(tmp_path: Path) -> None:
    with serving(tmp_path, workers=1, watch="release") as service, strictly(*service.addresses, clients=6):
        service.release("two")
        (service.releases / "one" / "release.py").write_text("RELEASE = 'edited in place, nobody looks'\n")
        service.flip("two")
        release_of(service, "two")
        service.wait_for(2)
        service.release("bad", app="import no_such_module_at_all\n")
        service.flip("bad")
        eventually(
            lambda: service.status()["last"]["outcome"] == "failed",
            "the upgrade onto the broken release has failed",
            10.0,
        )
        assert service.who()["release"] == "two"
        service.release("three")
        service.flip("three")
        release_of(service, "three")
