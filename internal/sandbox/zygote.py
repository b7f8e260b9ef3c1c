"""The zygote: a process with the usual modules loaded that forks interpreters.

It runs in the namespaces of bubblewrap, in a user namespace with a range of user ids. It does not hold data of tenants: it
only passes on the descriptors of each interpreter. An interpreter (the sandbox process) gets a user id and namespaces of its
own, drops all privileges that it does not need, and then waits for one job. It runs one script and is never used again.

    worker --ctl--> zygote --fork--> supervisor --fork--> process (PID 1 of its own namespace)
       |<-------------- status -------------|                |
       |----------------------- job (pipe) ----------------->|
       |<-------------------- answer (pipe) -----------------|

Closing "status" kills the process; closing "ctl" ends everything. A process does not keep an AF_UNIX socket, so that it
cannot receive or send descriptors.
"""

import base64
import ctypes
import fcntl
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import threading

CTL = 3
libc = ctypes.CDLL(None, use_errno=True)


def system(name, *args):
    """Calls a libc function. Raises an OSError with the function's name on failure."""
    result = getattr(libc, name)(*args)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


# ---- zygote ----------------------------------------------------------------------------------------------------------


def serve():
    ctl = socket.socket(fileno=CTL)
    config = json.loads(ctl.recv(1 << 17))
    config["filter"] = base64.b64decode(config["filter"])
    threading.stack_size(config["stack_bytes"])  # the default would be 8 MiB of address space for each thread
    sys.path.insert(0, "/hookturn")
    config["runner"] = importlib.import_module("runner")
    sys.path.pop(0)
    del sys.modules["runner"], sys.modules["hookturn_host"]  # scripts cannot import them
    for name in config["preload"]:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # objects so far are shared with all processes and not collected
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps supervisors
    ctl.send(f"ready {landlock_version()}".encode())
    while True:
        message, fds, _, _ = socket.recv_fds(ctl, 64, 8)
        if not message:
            return  # the worker has ended
        if os.fork() == 0:
            ctl.close()
            user, *packages = message.decode().split()
            supervise(int(user), fds, {**config, "site": packages[0] if packages else ""})
        for fd in fds:
            os.close(fd)


# ---- supervisor ------------------------------------------------------------------------------------------------------

CLONE_ALL = 0x20000 | 0x2000000 | 0x4000000 | 0x8000000 | 0x10000000 | 0x20000000 | 0x40000000
INSIDE = 65533  # user and group id inside the namespace, the same for every script


def supervise(user, fds, config):
    """Starts a process with its own user id and namespaces, kills it when the worker closes status, and reports its end."""
    status = socket.socket(fileno=fds[0])
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if "setsid" not in config["without"]:
            os.setsid()
        become_user(user if "users" not in config["without"] else 1)
        uid, gid = os.getuid(), os.getgid()
        system("unshare", CLONE_ALL)
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"{INSIDE} {uid} 1")
        write("/proc/self/gid_map", f"{INSIDE} {gid} 1")
        pid = os.fork()
        if pid == 0:
            try:
                become(status, fds[2], fds[3:], config)
            except BaseException as error:
                answer(fds[2], b"failed: " + repr(error).encode()[:1000])
                os._exit(1)
            config["runner"].live(fds[1], fds[2], config)
        for fd in fds[1:]:
            os.close(fd)
        ended = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(status, select.POLLRDHUP | select.POLLHUP)
        poll.register(ended, select.POLLIN)
        if any(fd == status.fileno() for fd, _ in poll.poll()):
            os.kill(pid, signal.SIGKILL)
        _, code, used = os.wait4(pid, 0)
        status.send(json.dumps({
            "exit": os.waitstatus_to_exitcode(code), "cpu_ms": int((used.ru_utime + used.ru_stime) * 1000),
            "rss_kb": used.ru_maxrss,
        }).encode())
    except BaseException as error:
        try:
            status.send(json.dumps({"failed": repr(error)[:1000]}).encode())
        except OSError:
            pass  # the worker has ended
    finally:
        os._exit(0)


def become_user(user):
    """Changes to a user id that no other process has, so that the kernel's limits for each user apply to this process only."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    system("prctl", 47, 4, 0, 0, 0)  # PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL
    system("prctl", 4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: a change of user clears it, and /proc/self would belong to root


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def answer(fd, text):
    os.write(fd, struct.pack(">I", len(text)) + text)


# ---- process -----------------------------------------------------------------------------------------------------------

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
PROXY_PORT = 3128


def become(status, answers, groups, config):
    """Drops all privileges of the process. The listener is sent before the limits are lowered."""
    if "setsid" not in config["without"]:
        os.setsid()
    for fd in groups:  # cgroup.procs files, opened by the worker
        os.write(fd, b"0")
        os.close(fd)
    write("/proc/self/oom_score_adj", "900")  # the kernel ends scripts before the worker when memory runs out
    listener = own_network()
    socket.send_fds(status, [b"listener"], [listener.fileno()])
    listener.close()
    status.close()
    own_files(config)
    for name, value in config["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    drop_capabilities()
    system("prctl", 38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    if "landlock" not in config["without"]:
        landlock()
    os.environ.clear()
    os.environ.update(config["environment"])
    os.chdir("/tmp")
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    if "seccomp" not in config["without"]:
        seccomp(config["filter"])
    answer(answers, b"ready")


def own_network():
    """Brings up the loopback interface, the only one of the namespace, and listens for the proxy."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sh", b"lo", 0x41))  # SIOCSIFFLAGS: IFF_UP | IFF_RUNNING
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", PROXY_PORT))
    listener.listen(64)
    return listener


def own_files(config):
    mount(None, "/", None, MS_REC | MS_PRIVATE, None)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, f"size={config['tmp_bytes']},nr_inodes=1024,mode=700")
    if config["site"]:
        mount("/packages/" + config["site"], "/site", None, MS_BIND, None)
    if config["packages"]:  # the packages of other bots are out of sight
        mount("tmpfs", "/packages", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=1,mode=000")
    mount("tmpfs", "/code", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, f"size={config['code_bytes']},nr_inodes=16,mode=700")
    system("sethostname", b"sandbox", 7)
    # No resource limit counts the socket buffers in kernel memory: 64 sockets could use 400 MiB.
    for name in ("tcp_rmem", "tcp_wmem"):
        write("/proc/sys/net/ipv4/" + name, config["socket_bytes"])


def mount(source, target, kind, flags, options):
    encoded = [None if text is None else text.encode() for text in (source, target, kind, options)]
    system("mount", encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])


def drop_capabilities():
    for capability in range(64):
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; fails beyond the last capability
    header = struct.pack("Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    system("capset", header, bytes(24))


def landlock_version():
    return libc.syscall(444, None, ctypes.c_size_t(0), 1)  # LANDLOCK_CREATE_RULESET_VERSION


def landlock():
    """Applies Landlock when available: read everywhere, write below /tmp and /code, connect to the proxy and to itself."""
    abi = landlock_version()
    if abi < 1:
        return
    write_rights = sum(1 << bit for bit in (1, 4, 5, 7, 8, 9, 10, 12))
    every = 0x1FFF | (1 << 13 if abi >= 2 else 0) | (1 << 14 if abi >= 3 else 0) | (1 << 15 if abi >= 5 else 0)
    read = 1 << 2 | 1 << 3
    extra = every & (1 << 13 | 1 << 14)
    attributes = struct.pack("QQQ", every, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = system("syscall", 444, attributes, ctypes.c_size_t(size), 0)
    rules = [("/", read), ("/tmp", read | write_rights | extra), ("/code", read | 1 << 1 | 1 << 8 | extra & 1 << 14),
             ("/dev/null", 1 << 1 | 1 << 2)]
    for path, rights in rules:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        system("syscall", 445, ruleset, 1, struct.pack("=Qi", rights, fd), 0)
        os.close(fd)
    if abi >= 4:
        system("syscall", 445, ruleset, 2, struct.pack("QQ", 1 << 1, PROXY_PORT), 0)
        for port in (PAIR_PORT, *TUNNEL_PORTS):
            system("syscall", 445, ruleset, 2, struct.pack("QQ", 3, port), 0)
    system("syscall", 446, ruleset, 0)
    os.close(ruleset)


PAIR_PORT = 3129  # where the two ends of a socket pair connect (runner.py)
TUNNEL_PORTS = range(3130, 3138)  # of hookturn.tunnel (hookturn_host.py)


def seccomp(program):
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    system("prctl", 22, 2, ctypes.byref(Program(len(program) // 8, program)), 0, 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


if __name__ == "__main__":
    serve()
