"""Die at the n-th file operation of an action, as a killed process does: nothing is cleaned up."""

import os
import sys

OPERATIONS = {"os.rename", "os.remove", "os.truncate", "os.link", "shutil.rmtree"}
WRITES = os.O_WRONLY | os.O_RDWR


def survives(action, n):
    """Run an action in a child process that dies at its n-th operation on files, from 0.

    Operations are: a file is opened for writing, half of a copy is written, the rest is, a file is
    renamed or removed.

    Returns:
        true if there were fewer operations, and the action ended well.
    """
    child = os.fork()
    if not child:
        try:
            _die_at(n)
            action()
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 9), "the action failed by itself"
    return code == 0


def _die_at(n):
    count = [0]

    def operation():
        count[0] += 1
        if count[0] > n:
            os._exit(9)

    def audit(event, args):
        if event in OPERATIONS or (
            event == "open" and isinstance(args[2], int) and args[2] & WRITES
        ):
            operation()

    send = os.sendfile

    def send_in_halves(out, source, offset, count):
        """`shutil.copyfile` asks for everything at once, until nothing is sent."""
        left = os.fstat(source).st_size - offset
        if left > 1:
            operation()
            return send(out, source, offset, left // 2 if offset == 0 else left)
        return send(out, source, offset, count)

    os.sendfile = send_in_halves
    sys.addaudithook(audit)
