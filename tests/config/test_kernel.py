"""What the kernel takes at most."""

import os
import subprocess
import sys

from releve.config.kernel import VARIABLE_MAX_BYTES, environment_objection, variable_objection


def starts(environment: dict[str, str]) -> bool:
    try:
        subprocess.run([sys.executable, "-S", "-c", ""], env=environment, check=True, timeout=60)
    except OSError:
        return False
    return True


def test_the_longest_variable_is_the_one_that_a_program_can_be_started_with() -> None:
    longest = "x" * (VARIABLE_MAX_BYTES - len("NAME="))
    assert variable_objection("NAME", longest) is None and starts({"NAME": longest})
    assert not starts({"NAME": f"{longest}x"})
    reason = variable_objection("NAME", f"{longest}x")
    assert reason is not None and reason.startswith("NAME has ") and "xxx" not in reason


def test_too_many_of_them_name_the_largest() -> None:
    assert environment_objection(dict(os.environ)) is None
    large = {f"V{number:03}": "x" * (VARIABLE_MAX_BYTES - 100 - number) for number in range(60)}
    reason = environment_objection(large)
    assert not starts(large)
    assert reason is not None and "the largest are V000, V001, V002" in reason and "xxx" not in reason
