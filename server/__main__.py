"""``python -P -m releve.server --link FD``: the master of one generation, started by the supervisor."""

from __future__ import annotations

import faulthandler
import sys
import traceback
from typing import NoReturn

from releve.server.master.master import run
from releve.server.process import children, hazards
from releve.server.process.output import drain
from releve.server.shared.link import EXIT_INTERNAL, Link
from releve.server.shared.native import os, socket
from releve.server.worker.exit import remove_temporary


def link_fd(arguments: list[str]) -> int:
    """The descriptor in ``--link FD``, by hand: a master starts sooner by what argparse takes to be imported.

    Raises SystemExit, with a word on standard error.
    """
    match arguments:
        case ["--link", digits] if digits.isdecimal():
            return int(digits)
    print("usage: releve.server --link FD: the master of one generation; the supervisor starts it", file=sys.stderr)
    raise SystemExit(2)


def main(arguments: list[str], *, lent: bool = False) -> NoReturn:
    """Take the inherited end of the link and be a master.

    Ends in ``os._exit``: threads that the application's import left must not keep the process.
    """
    status = EXIT_INTERNAL
    try:
        faulthandler.enable()  # until the master has its crash file
        fd = link_fd(arguments)
        sys.argv[1:] = []  # they are ours, not the application's
        os.set_inheritable(fd, False)
        early = hazards.early(fd)
        status = run(Link(socket.socket(fileno=fd)), lent=lent, early=early)
    except SystemExit as error:  # they were not ours
        status = error.code if isinstance(error.code, int) else 2
    except OSError as error:
        print(f"releve.server: cannot continue: {error}", file=sys.stderr)
        traceback.print_exc()
    except BaseException:
        traceback.print_exc()
    finally:
        remove_temporary()
        children.settle(0.0)
        drain()
        os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
