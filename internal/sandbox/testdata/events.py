"""Gives zygote.handle the events of a process that ended, with a request for a new one between them.

The new process gets the descriptors of the old one. The second event of the old one must not be taken for its own.
"""

import os
import select
import signal
import socket
import sys

sys.path.insert(0, ".")
import zygote

pids = []


def process():
    pid = os.fork()
    if pid == 0:
        signal.pause()
    pids.append(pid)
    return pid, os.pidfd_open(pid)


class Poll:
    def unregister(self, fd):
        pass


class Control:
    def recvmsg(self, *_):
        return b"1", [], 0, None


def start(request, fds, config, poll, watched):
    pid, handle = process()
    status = os.dup(other.fileno())
    watched[handle] = watched[status] = pid, handle, status
    started.append([handle, status])


started = []
worker, ours = socket.socketpair()  # descriptor 3 is one of them, as that of the worker
other, _ = socket.socketpair()
pid, handle = process()
status = os.dup(ours.fileno())
old = sorted((handle, status))
watched = {handle: (pid, handle, status), status: (pid, handle, status)}
zygote.start = start
try:
    os.kill(pid, signal.SIGKILL)
    select.select([handle], [], [])
    assert zygote.handle([handle, zygote.CTL, status], Control(), {}, Poll(), watched)
    print(sorted(started[0]) == old and sorted(watched) == old)
finally:
    for pid in pids[1:]:
        os.kill(pid, signal.SIGKILL)
