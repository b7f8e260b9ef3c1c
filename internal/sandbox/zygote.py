"""The zygote: a process with the usual modules loaded that forks interpreters, and supervises them.

It runs in the namespaces of bubblewrap, in a user namespace with a range of user ids. It does not hold data of tenants: it
only passes on the descriptors of each interpreter. An interpreter (the sandbox process) gets namespaces and a user id of its
own, drops all privileges that it does not need, and then waits for one job. It runs one script and is never used again.

    worker --ctl--> zygote --clone--> process (PID 1 of its own namespace)
       |<-- status -- |                  |
       |------------- job (pipe) ------->|
       |<----------- answer (pipe) ------|

Closing "status" kills the process; closing "ctl" ends everything. A process does not keep an AF_UNIX socket, so that it
cannot receive or send descriptors.
"""

import _socket
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
import struct
import sys
import threading

CTL = 3
libc = ctypes.CDLL(None, use_errno=True)

# Every page that a process writes to after a fork is copied by the kernel, reference counts of objects included. What runs
# between forks therefore uses few objects: descriptors, _socket, and values that exist before the first fork.


def system(name, *args):
    """Calls a libc function. Raises an OSError with the function's name on failure."""
    result = getattr(libc, name)(*args)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


# ---- zygote ----------------------------------------------------------------------------------------------------------


def serve():
    ctl = _socket.socket(fileno=CTL)
    config = json.loads(ctl.recv(1 << 17))
    threading.stack_size(config["stack_bytes"])  # the default would be 8 MiB of address space for each thread
    sys.path.insert(0, "/hookturn")
    config["runner"] = importlib.import_module("runner")
    sys.path.pop(0)
    del sys.modules["runner"], sys.modules["hookturn_host"]  # scripts cannot import them
    for name in config["preload"]:
        importlib.import_module(name)
    prepare(config)
    poll = select.epoll()
    poll.register(CTL, select.EPOLLIN)
    watched = {}  # the process of each descriptor
    gc.collect()
    gc.freeze()  # objects so far are shared with all processes and not collected
    ctl.send(b"ready %d" % landlock_version())
    while handle([fd for fd, _ in poll.poll()], ctl, config, poll, watched):
        pass


def handle(ready, ctl, config, poll, watched):
    """Handles the events of descriptors. Reports whether the worker goes on."""
    for fd in ready:
        if fd in watched:  # not when the process ended by an earlier event
            changed(fd, poll, watched)
    if CTL in ready:  # last: a new process can get the descriptors of one that ended
        request, rights, _, _ = ctl.recvmsg(64, 256)
        if not request:
            return False
        fds = [fd for _, _, data in rights for fd in memoryview(data).cast("i")]
        start(request, fds, config, poll, watched)
    return True


def prepare(config):
    """Does what every process would do in the same way."""
    os.setgroups([])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the zygote has two files of each process
    os.environ.clear()
    os.environ.update(config["environment"])
    config["filter"] = seccomp_program(base64.b64decode(config["filter"]))
    config["limits"] = [(getattr(resource, name), (value, value)) for name, value in config["limits"].items()]
    config["call"], config["handle"] = clone_call(config)
    config["runner"].prepare(config)


def changed(fd, poll, watched):
    """Kills a process when the worker has closed status. Reports an end, and closes status as the last of its files."""
    pid, handle, status = watched[fd]
    if fd == status:
        poll.unregister(status)
        del watched[status]
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        return
    _, code, used = os.wait4(pid, 0)  # all processes of its namespace have ended
    report(status, b'{"exit": %d, "cpu_ms": %d}' % (os.waitstatus_to_exitcode(code), int((used[0] + used[1]) * 1000)))
    for one in (handle, status):
        if watched.pop(one, None):
            poll.unregister(one)  # closing is not enough: a new process can have inherited it
        os.close(one)


def report(status, text):
    """Sends how a process ended. It does not block: this is the only message of the zygote."""
    try:
        os.write(status, text)
    except OSError:
        pass  # the worker has closed the other end


def start(request, fds, config, poll, watched):
    """Starts a process for a request: a user id, and the folder of the packages if there is one."""
    user, _, site = request.partition(b" ")
    gate = os.pipe()
    status, fds[:1] = fds[0], gate
    pid = 0
    try:
        pid, handle = clone(status, fds, site, config)
        identify(pid, user if "users" not in config["without"] else b"1")
        os.write(gate[1], b"g")
        watched[handle] = watched[status] = pid, handle, status
        poll.register(handle, select.EPOLLIN)
        poll.register(status, select.EPOLLRDHUP)
    except BaseException as error:
        report(status, json.dumps({"failed": repr(error)[:1000]}).encode())
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(handle)
        os.close(status)
    finally:
        for fd in fds:
            os.close(fd)


INSIDE = 65533  # user and group id inside the namespace, the same for every script


def identify(pid, user):
    """Maps the only user of the namespace to one that no other process has: the kernel's limits for each user hold it alone."""
    write(b"/proc/%d/setgroups" % pid, b"deny")
    write(b"/proc/%d/uid_map" % pid, b"%d %b 1" % (INSIDE, user))
    write(b"/proc/%d/gid_map" % pid, b"%d %b 1" % (INSIDE, user))


def write(path, text):
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
    try:
        os.write(fd, text)
    finally:
        os.close(fd)


# ---- clone -----------------------------------------------------------------------------------------------------------

CLONE_NEWUSER, CLONE_NEWPID = 0x10000000, 0x20000000
CLONE_OTHERS = 0x20000 | 0x2000000 | 0x4000000 | 0x8000000 | 0x40000000  # mounts, cgroup, host name, IPC, network
CLONE_PIDFD, CLONE_CHILD_SETTID, CLONE_CHILD_CLEARTID = 0x1000, 0x1000000, 0x200000
FLAGS = CLONE_NEWUSER | CLONE_NEWPID | CLONE_PIDFD | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | signal.SIGCHLD
python = ctypes.PyDLL(None, use_errno=True)  # calls keep the lock of the interpreter


def clone(status, fds, site, config):
    """Forks a process into a user and a PID namespace of its own. Returns its id and a descriptor of it.

    os.fork would need another process between the two. What it does beside the system call is done here: Python's part by
    Python's functions; of the C library's part a process of one thread needs only the new id of the thread.
    """
    python.PyOS_BeforeFork()
    pid = python.syscall(*config["call"])
    if pid == 0:
        try:
            python.PyOS_AfterFork_Child()
            enter(status, fds, site, config)
        finally:
            os._exit(1)
    python.PyOS_AfterFork_Parent()
    if pid < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"clone: {os.strerror(number)}")
    return pid, config["handle"].value


def clone_call(config):
    """Returns the number of the system call with its arguments, and the variable for the descriptor of the process."""
    thread, handle = ctypes.c_void_p(), ctypes.c_int(-1)
    if libc.prctl(40, ctypes.byref(thread), 0, 0, 0) != 0:  # where the C library keeps the id of this thread
        sys.exit("the kernel does not have PR_GET_TID_ADDRESS: use one with CONFIG_CHECKPOINT_RESTORE")
    call = [config["clone"], ctypes.c_ulong(FLAGS), None, ctypes.byref(handle), None, None]
    call[config["clone_tid"]] = thread
    return call, handle


# ---- process -----------------------------------------------------------------------------------------------------------

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
PROXY_PORT = 3128


def enter(status, fds, site, config):
    """Is the process: prepares it, and runs its job."""
    gate, _, job, answers, *groups = fds
    config["site"] = site.decode()
    try:
        os.read(gate, 1)  # the zygote has mapped the user
        close_others(status, job, answers, *groups)
        os.setresgid(INSIDE, INSIDE, INSIDE)
        os.setresuid(INSIDE, INSIDE, INSIDE)
        system("prctl", 4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: a change of user clears it, and /proc/self would belong to root
        system("unshare", CLONE_OTHERS)  # here and not by clone: the kernel can take milliseconds for a network
        become(status, answers, groups, config)
    except BaseException as error:
        reason = b"failed: " + repr(error).encode()[:1000]
        try:
            os.write(status, reason)
        except OSError:
            answer(answers, reason)  # status is closed already
        os._exit(1)
    config["runner"].live(job, answers, config)


def answer(fd, text):
    os.write(fd, struct.pack(">I", len(text)) + text)


def close_others(*kept):
    """Closes all descriptors but these and the standard ones: the zygote has those of other processes."""
    low = 3
    for fd in sorted(kept):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def become(status, answers, groups, config):
    """Drops all privileges of the process. The listener is sent before the limits are lowered."""
    if "setsid" not in config["without"]:
        os.setsid()
    for fd in groups:  # cgroup.procs files, opened by the worker
        os.write(fd, b"0")
        os.close(fd)
    write("/proc/self/oom_score_adj", b"900")  # the kernel ends scripts before the worker when memory runs out
    own_network(status)
    own_files(config)
    for limit, value in config["limits"]:
        resource.setrlimit(limit, value)
    drop_capabilities()
    system("prctl", 38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    if "landlock" not in config["without"]:
        landlock()
    os.chdir("/tmp")
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    if "seccomp" not in config["without"]:
        system("prctl", 22, 2, config["filter"], 0, 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    answer(answers, b"ready")


def own_network(status):
    """Brings up the loopback interface, the only one of the namespace, and gives the worker the listener of its proxy."""
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    fcntl.ioctl(listener.fileno(), 0x8914, struct.pack("16sh", b"lo", 0x41))  # SIOCSIFFLAGS: IFF_UP | IFF_RUNNING
    listener.bind(("127.0.0.1", PROXY_PORT))
    listener.listen(64)
    worker = _socket.socket(fileno=status)
    worker.sendmsg([b"listener"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", listener.fileno()))])
    listener.close()
    worker.close()


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
        write("/proc/sys/net/ipv4/" + name, config["socket_bytes"].encode())


def mount(source, target, kind, flags, options):
    encoded = [None if text is None else text.encode() for text in (source, target, kind, options)]
    system("mount", encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])


def drop_capabilities():
    capability = 0
    while libc.prctl(24, capability, 0, 0, 0) == 0:  # PR_CAPBSET_DROP; fails beyond the last capability
        capability += 1
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


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def seccomp_program(text):
    return ctypes.byref(Program(len(text) // 8, text))


if __name__ == "__main__":
    serve()
