"""What cannot be understood as a keepsake is an error of its own; a master that is not believed gets its role."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.keepsakes import kept
from releve.supervisor.keepsake import keepsake
from releve.supervisor.keepsake.keepsake import KeepsakeError, Role


@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode),
    )
)
def test_a_keepsake_that_is_none_is_an_error_of_its_own(data: bytes) -> None:
    with pytest.raises(KeepsakeError):
        keepsake.understand(data)


KEYS = sorted(json.loads(keepsake.record(kept())))


@given(st.dictionaries(st.sampled_from(KEYS), st.none() | st.integers() | st.text() | st.lists(st.none())))
def test_so_is_one_with_odd_values(changes: dict[str, object]) -> None:
    odd = {**json.loads(keepsake.record(kept())), **changes}
    try:
        keepsake.understand(json.dumps(odd).encode())
    except KeepsakeError:
        pass


def test_a_master_that_is_not_believed_gets_its_role_and_nothing_else() -> None:
    fd = keepsake.role_only(Role.STANDBY)
    assert json.loads(os.pread(fd, 1000, 0)) == {"version": 1, "role": "standby", "uid": -1}
    os.close(fd)
