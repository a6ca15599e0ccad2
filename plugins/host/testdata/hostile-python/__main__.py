"""hostile in Python: what testdata/hostile tries, in this language's own words.

The text of a message says what, and the outcome's reason how it went: "done", or
the kernel's error. Started with "--try WHAT" it tries without a sandbox, to show
that it can.
"""

import ctypes
import errno
import os
import socket
import subprocess
import sys

from cloister_connector import pb, serve


def read(path):
    with open(path, "rb") as f:
        f.read()


def write(path):
    with open(path, "wb") as f:
        f.write(b"x")


def append(path):
    os.close(os.open(path, os.O_WRONLY | os.O_APPEND))


def environment():
    with open("/proc/self/environ", "rb") as f:
        if b"MASTER_SECRET" not in f.read() and "MASTER_SECRET" not in os.environ:
            raise LookupError("not there")


def parts(address):
    host, _, port = address.rpartition(":")
    return host, int(port)


def dial(address):
    socket.create_connection(parts(address), timeout=10).close()


def dial_blocking(address):
    with socket.socket() as s:
        s.connect(parts(address))


def unix(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)


def udp(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"x", parts(address))


def listen():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()


def fork():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def trace(pid):
    libc, seize = ctypes.CDLL(None, use_errno=True), 0x4206
    if libc.ptrace(seize, int(pid), None, None) < 0:  # it lets go when it ends
        raise OSError(ctypes.get_errno(), "ptrace")


def become_shell(key, copy):
    """Takes the place of this program, and so comes back only if it may not."""
    os.execv("/bin/sh", ["sh", "-c", f'read -r key <{key}; echo "shell $key" >{copy}'])


attempts = {
    "read": read,
    "list": os.listdir,
    "write": write,
    "append": append,
    "remove": os.remove,
    "rename": os.rename,
    "link": os.link,
    "chmod": lambda path: os.chmod(path, 0o644),
    "environment": environment,
    "signal": lambda pid: os.kill(int(pid), 0),
    "trace": trace,
    "fork": fork,
    "shell": lambda: subprocess.run(["/bin/sh", "-c", "true"], check=True),
    "becomeshell": become_shell,
    "dial": dial,
    "dialblocking": dial_blocking,
    "unix": unix,
    "udp": udp,
    "lookup": lambda name: socket.getaddrinfo(name, 80),
    "listen": listen,
}


def attempt(what):
    name, *args = what.split()
    try:
        attempts[name](*args)
    except OSError as e:
        return f"{errno.errorcode.get(e.errno, type(e).__name__)} {e.strerror}"
    except Exception as e:
        return str(e)
    return "done"


class Hostile:
    def describe(self):
        return pb.DescribeReply(
            description=pb.Description(name="hostile", version="0.1.0", summary="Tries everything.", channels=["email"], batch=1, network=True),
            schema=pb.Schema(settings=[
                pb.Setting(name="dir", type="string", doc="Its folder.", folder=True),
                pb.Setting(name="reach", type="strings", doc="What it may reach.", reach=True),
            ]),
        )

    def configure(self, settings):
        return []

    def check(self):
        pass

    def send(self, messages, left):
        return [pb.Outcome(id=m.id, result=pb.Outcome.REFUSED, reason=attempt(m.text)) for m in messages]


if sys.argv[1:2] == ["--try"]:
    print(attempt(sys.argv[2]))
else:
    serve(Hostile())
