"""What an application writes to standard output and error: nothing lost, whole lines, each saying who wrote it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

BEGIN = """
import logging, os, subprocess, sys, threading, time
from releve.config.settings.log import Log
from releve.server.process import output
from releve.server.shared.log import Who
output.begin(Log(**{settings}), Who(8, 2, "/srv/42"))
output.hold()
"""
TAG = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (STDOUT|STDERR) gen=8 worker=2 pid=\d+ "


def run(tmp_path: Path, code: str, **settings: str) -> tuple[str, str]:
    """Run some code in a process that is set up as a worker; its standard output and error."""
    script = tmp_path / "script.py"
    script.write_text(BEGIN.format(settings=settings) + textwrap.dedent(code))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, timeout=60, check=True)
    return done.stdout.decode(errors="surrogateescape"), done.stderr.decode(errors="surrogateescape")


def untagged(text: str) -> list[str]:
    """The lines without their tags, which each of them must have."""
    lines = text.splitlines()
    assert all(re.match(TAG, line) for line in lines), text
    return [re.sub(TAG, "", line, count=1) for line in lines]


def entries(text: str) -> list[str]:
    """What has a tag each, with the lines that belong to it."""
    return re.split(f"^(?={TAG.replace('(', '(?:')})", text, flags=re.MULTILINE)[1:]


def copied(text: str) -> list[str]:
    """The lines of one entry, as somebody copies them: without its tag, and the others without their indent."""
    first, *others = text.splitlines()
    assert all(line.startswith("  ") for line in others), text
    return [*untagged(first), *(line[2:] for line in others)]


def test_what_is_written_at_once_has_one_tag_and_a_traceback_copies_out_clean(tmp_path: Path) -> None:
    _, err = run(
        tmp_path,
        """
        import traceback
        def fail():
            try:
                {}["card"]
            except KeyError:
                raise ValueError("no card\\nat all")
        try:
            fail()
        except ValueError:
            logging.exception("payment failed")
            print("after it", file=sys.stderr)
            traceback.print_exc()
        print("the end", file=sys.stderr)
        """,
    )
    logged, after, first, chained, second, end = map(copied, entries(err))
    assert logged[:2] == ["ERROR:root:payment failed", "Traceback (most recent call last):"]
    assert (after, end) == (["after it"], ["the end"])
    assert [*first, *chained, *second] == logged[1:]
    assert first[-1] == "KeyError: 'card'" and second[-2:] == ["ValueError: no card", "at all"]


def test_a_traceback_that_breaks_off_is_written_all_the_same(tmp_path: Path) -> None:
    _, err = run(
        tmp_path,
        """
        sys.stderr.write("Traceback (most recent call last):\\n")
        sys.stderr.write("  File 'x'\\n")
        """,
    )
    assert copied(err) == ["Traceback (most recent call last):", "  File 'x'"]


def test_a_traceback_is_over_with_its_exception_also_if_that_ends_in_an_indented_line(tmp_path: Path) -> None:
    """As those of pydantic and yaml do: it must not wait for the next line, which a process that ends never writes."""
    _, err = run(
        tmp_path,
        """
        import traceback
        class Invalid(Exception):
            pass
        try:
            raise Invalid("1 error for Order\\ncard\\n  field required")
        except Invalid:
            traceback.print_exc()
        os._exit(0)
        """,
    )
    (said,) = map(copied, entries(err))
    assert said[0] == "Traceback (most recent call last):" and said[-2:] == ["card", "  field required"]


@pytest.mark.parametrize("where", ["output.holding = False", "if os.fork(): os._exit(os.wait()[1])"])
def test_where_no_loop_runs_a_traceback_is_written_as_it_comes(tmp_path: Path, where: str) -> None:
    """In the master, in an import, and in a child of the worker: a hard end in the middle of it loses nothing."""
    _, err = run(
        tmp_path,
        f"""
        {where}
        sys.stderr.write("Traceback (most recent call last):\\n")
        sys.stderr.write("  File 'x'\\n")
        os._exit(0)
        """,
    )
    assert untagged(err) == ["Traceback (most recent call last):", "  File 'x'"]


def test_each_line_is_tagged_whatever_wrote_it(tmp_path: Path) -> None:
    out, err = run(
        tmp_path,
        """
        print("one")
        print("ünï", "cøde", sep="\\n")
        print()
        sys.stdout.buffer.write(b"bytes \\xff\\n")
        sys.stdout.writelines(["a\\n", "b\\n"])
        sys.__stdout__.write("original\\n")
        sys.stderr.write("lone \\udc80\\n")
        logging.warning("by default")
        try:
            1 / 0
        except ZeroDivisionError:
            import traceback
            traceback.print_exc()
        """,
    )
    assert untagged(out) == ["one", "ünï", "cøde", "", "bytes \\xff", "a", "b", "original"]
    *others, traceback = entries(err)
    assert untagged("".join(others)) == ["lone \\udc80", "WARNING:root:by default"]
    assert copied(traceback)[::4] == ["Traceback (most recent call last):", "ZeroDivisionError: division by zero"]


def test_what_others_write_comes_as_it_is(tmp_path: Path) -> None:
    out, err = run(
        tmp_path,
        """
        os.write(1, b"by os.write\\n")
        subprocess.run(["echo", "by a child"], check=True)
        subprocess.run(["sh", "-c", "echo to where stderr goes"], stdout=sys.stderr, check=True)
        import faulthandler
        faulthandler.dump_traceback()
        """,
    )
    assert out.splitlines() == ["by os.write", "by a child"]
    assert err.startswith("to where stderr goes\nCurrent thread")


def test_a_line_without_an_end_is_written_at_a_flush_after_a_while_and_at_the_end(tmp_path: Path) -> None:
    out, err = run(
        tmp_path,
        """
        sys.stdout.write("flushed")
        sys.stdout.flush()
        print("a", end=" "); print("b", end=" "); print("c")
        sys.stdout.write("not yet")
        before = output.snapshot()
        sys.stdout.write(" ended")
        output.settle(before)  # it has grown since
        print(".")
        threading.Thread(target=lambda: sys.stdout.write("of a thread that has ended")).start()
        time.sleep(0.2)
        output.settle(output.snapshot())
        sys.stderr.write("at the end")
        output.drain()
        os._exit(0)
        """,
    )
    assert untagged(out) == ["flushed", "a b c", "not yet ended.", "of a thread that has ended"]
    assert untagged(err) == ["at the end"]


def test_the_ordinary_end_of_a_process_writes_all(tmp_path: Path) -> None:
    out, _ = run(
        tmp_path,
        """
        if os.fork() == 0:
            print("child", end="")
            sys.exit()
        os.wait()
        sys.stdout.write("parent")
        """,
    )
    assert untagged(out) == ["child", "parent"]


def test_a_fork_repeats_nothing(tmp_path: Path) -> None:
    out, _ = run(
        tmp_path,
        """
        sys.stdout.write("begun ")
        if os.fork() == 0:
            output.drain()
            os._exit(0)
        os.wait()
        print("and ended")
        """,
    )
    assert untagged(out) == ["begun and ended"]


@pytest.mark.parametrize("output", ["tagged", "plain"])
def test_threads_do_not_tear_each_others_lines(tmp_path: Path, output: str) -> None:
    out, err = run(
        tmp_path,
        """
        sys.setswitchinterval(1e-6)
        def work(name):
            for number in range(300):
                print(name, number, "x" * number)
                print(name, end=" ", file=sys.stderr); print(number, file=sys.stderr)
        threads = [threading.Thread(target=work, args=(name,)) for name in "abcdefgh"]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """,
        output=output,
    )
    lines = untagged(out) if output == "tagged" else out.splitlines()
    assert sorted(lines) == sorted(f"{name} {number} {'x' * number}" for name in "abcdefgh" for number in range(300))
    lines = untagged(err) if output == "tagged" else err.splitlines()
    assert sorted(lines) == sorted(f"{name} {number}" for name in "abcdefgh" for number in range(300))


def test_plain_is_as_it_is(tmp_path: Path) -> None:
    out, err = run(
        tmp_path,
        """
        print('{"level": "info"}')
        sys.stdout.write("50 %")
        sys.stdout.flush()
        sys.stdout.write("\\r100 %")
        sys.stderr.buffer.write(b"\\xff")
        """,
        output="plain",
    )
    assert out == '{"level": "info"}\n50 %\r100 %'
    assert err == "\udcff"


def test_json_lines(tmp_path: Path) -> None:
    out, _ = run(tmp_path, "print('one', 'two', sep='\\n')", format="json")
    said = [json.loads(line) for line in out.splitlines()]
    assert [(one["stream"], one["message"], one["worker"], one["level"]) for one in said] == [
        ("stdout", "one", 2, "info"),
        ("stdout", "two", 2, "info"),
    ]
    _, err = run(tmp_path, "try: 1 / 0\nexcept ZeroDivisionError: logging.exception('it failed')", format="json")
    (one,) = map(json.loads, err.splitlines())
    assert (one["stream"], one["level"]) == ("stderr", "error") and one["message"].startswith("ERROR:root:it failed")


def test_a_long_line_and_one_that_never_ends(tmp_path: Path) -> None:
    out, _ = run(
        tmp_path,
        """
        print("x" * 5_000_000)
        for _ in range(3000):
            sys.stdout.write("y" * 1000)
        """,
    )
    lines = untagged(out)
    assert len(lines[0]) == 5_000_000 and sum(map(len, lines[1:])) == 3_000_000
    assert all(len(line) <= (1 << 20) + 1000 for line in lines[1:])


def test_a_reader_that_has_gone_does_not_fail_a_print(tmp_path: Path) -> None:
    _, err = run(
        tmp_path,
        """
        reader, writer = os.pipe()
        os.dup2(writer, 1); os.close(writer); os.close(reader)
        print("to nobody")
        print("still here", file=sys.stderr)
        """,
    )
    assert untagged(err) == ["still here"]


def test_standard_output_and_error_lead_to_a_file_and_back(tmp_path: Path) -> None:
    out, err = run(
        tmp_path,
        f"""
        path = {str(tmp_path / "log")!r}
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        output.standard.lead(fd)
        os.close(fd)
        print("to the file")
        os.system("echo as a child too; echo and its errors >&2")
        os.write(output.standard.output, b"to where it led\\n")
        output.standard.lead(-1)
        print("back")
        print("back", file=sys.stderr)
        """,
    )
    assert (
        out.splitlines()[0] == "to where it led"
        and untagged(out.splitlines()[1]) == ["back"]
        and untagged(err) == ["back"]
    )
    first, *others = (tmp_path / "log").read_text().splitlines()
    assert untagged(first) == ["to the file"] and others == ["as a child too", "and its errors"]


def test_what_frameworks_do_to_the_streams(tmp_path: Path) -> None:
    out, _ = run(
        tmp_path,
        """
        import contextlib, io
        out = sys.stdout
        print(out.encoding, out.fileno(), out.isatty(), out.writable(), out.mode, out.name)
        sys.stdout.reconfigure(line_buffering=True)
        print("reconfigured")
        with contextlib.redirect_stdout(io.StringIO()) as kept:
            print("elsewhere")
        assert kept.getvalue() == "elsewhere\\n"
        handler = logging.StreamHandler(sys.stdout)
        logging.getLogger().addHandler(handler)
        logging.getLogger().warning("handled")
        """,
    )
    assert untagged(out) == ["utf-8 1 False True w <stdout>", "reconfigured", "handled"]
