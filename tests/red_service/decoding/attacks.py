"""What code that has taken over a decoder would try; `python -m` this runs it in a process with fences.

Arguments: what the process is (`decoder`, or the names of fences to raise, or nothing), then a folder, a
TCP port of this machine, and the id of another process. Prints for each attack how it went.
"""

import ctypes
import encodings.idna  # noqa: F401 what sockets load late
import json
import os
import resource
import socket
import sys
import threading
from pathlib import Path

from red_service.decoding import fences, worker

libc = ctypes.CDLL(None, use_errno=True)
UNSHARE_USERS, PTRACE_SEIZE = 0x10000000, 0x4206


def succeeds(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def fork(then=lambda: None):
    child = os.fork()
    if child == 0:
        try:
            then()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def execute():
    run = lambda: os.execv("/bin/true", ["true"])  # noqa: E731
    try:
        code = fork(run)
    except PermissionError:
        run()  # without a child: it would end this process
    if code:
        raise PermissionError("not executed")


def raw_fork():
    clone = {"x86_64": 57}.get(os.uname().machine)  # fork(2), which libc does not use
    child = libc.syscall(clone) if clone else os.fork()
    if child == 0:
        os._exit(0)
    succeeds(child)


def send_udp(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"secret", ("127.0.0.1", port))


def attacks(folder, port, process):
    """Every attack by its name, as a function that raises OSError when it is denied."""
    return {
        "read a file": lambda: Path("/etc/passwd").read_bytes(),
        "read a file of ours": lambda: (folder / "theirs").read_bytes(),
        "list a folder": lambda: os.listdir(folder),
        "create a file": lambda: (folder / "new").write_bytes(b"x"),
        "truncate a file": lambda: os.truncate(folder / "theirs", 0),
        "make a folder": lambda: (folder / "newer").mkdir(),
        "remove a file": lambda: (folder / "gone").unlink(),
        "read another's memory": lambda: Path(f"/proc/{process}/environ").read_bytes(),
        "connect over TCP": lambda: socket.create_connection(("127.0.0.1", port), 5).close(),
        "listen on TCP": lambda: socket.create_server(("127.0.0.1", 0)).close(),
        "execute a program": execute,
        "signal another process": lambda: os.kill(process, 0),
        "send over UDP": lambda: send_udp(port),
        "make a pair of sockets": lambda: [one.close() for one in socket.socketpair()],
        "fork": fork,
        "fork by the kernel's oldest call": raw_fork,
        "stat a file": lambda: os.stat("/etc/passwd"),
        "trace another process": lambda: succeeds(libc.ptrace(PTRACE_SEIZE, process, 0, 0)),
        "make a user namespace": lambda: fork(lambda: os._exit(libc.unshare(UNSHARE_USERS))) and succeeds(-1),
        "make a file in memory": lambda: os.close(os.memfd_create("code")),
        "change its own limits": lambda: resource.setrlimit(resource.RLIMIT_NICE, (0, 0)),
    }


def outcomes(folder, port, process):
    found = {}
    for name, attack in attacks(Path(folder), int(port), int(process)).items():
        try:
            attack()
            found[name] = "done"
        except (OSError, ValueError):  # the second from setrlimit
            found[name] = "denied"
    thread = threading.Thread(target=lambda: found.update({"start a thread": "done"}))
    thread.start()
    thread.join()
    return found


def main(kind, *target):
    if kind == "decoder":
        worker.verdict_on = lambda content: worker.Refusal("attacked", json.dumps(outcomes(*target)))
        sys.argv[1:] = sys.argv[5:]  # what a decoder is started with
        worker.main()
        return
    wanted = [name for name in fences.ALL if name in kind.split("+")]
    assert not fences.put_up({name: fences.ALL[name] for name in wanted}).missing
    print(json.dumps(outcomes(*target)))


if __name__ == "__main__":
    main(*sys.argv[1:5])
