"""The inside of a sandbox: a process that has the usual modules loaded and makes interpreters by forking.

It runs in namespaces that bubblewrap has made, as a user of its own, and holds no tenant's data: it only passes on the two
sockets that the worker sends for each interpreter. An interpreter ("cell") gets namespaces of its own, gives up every right
it does not need, and then waits for one job. A cell that has run a script is never used again.

    worker --ctl--> zygote --fork--> keeper --fork--> cell (PID 1 of its own namespace)
       |<-------------- status ---------|                |
       |<----------------------- data -------------------|

Closing "status" kills the cell; closing "ctl" ends everything.
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

CTL = 3
libc = ctypes.CDLL(None, use_errno=True)


def system(name, *args):
    """Calls libc; a failure is an OSError that names the call."""
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
    for name in config["preload"]:
        importlib.import_module(name)
    quicken()
    gc.collect()
    gc.freeze()  # what is here now is shared with every cell and never looked at again
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are reaped by the kernel
    ctl.send(b"ready")
    while True:
        message, fds, _, _ = socket.recv_fds(ctl, 16, 2)
        if not message:
            return  # the worker is gone
        if os.fork() == 0:
            ctl.close()
            keep(socket.socket(fileno=fds[0]), socket.socket(fileno=fds[1]), config)
        for fd in fds:
            os.close(fd)


def quicken():
    """Sends small segments at once: urllib3 waits for acknowledgements behind a proxy, 40 ms for each request."""
    plain = socket.socket

    class Socket(plain):
        def connect(self, address):
            super().connect(address)
            if self.family in (socket.AF_INET, socket.AF_INET6):
                self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    Socket.__name__ = Socket.__qualname__ = "socket"
    socket.socket = Socket


# ---- keeper ----------------------------------------------------------------------------------------------------------

CLONE_ALL = 0x20000 | 0x2000000 | 0x4000000 | 0x8000000 | 0x10000000 | 0x20000000 | 0x40000000


def keep(data, status, config):
    """Starts a cell in namespaces of its own, kills it when the worker says so, and tells how it ended."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        uid, gid = os.getuid(), os.getgid()
        system("unshare", CLONE_ALL)
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"{uid} {uid} 1")
        write("/proc/self/gid_map", f"{gid} {gid} 1")
        pid = os.fork()
        if pid == 0:
            status.close()
            try:
                become(data, config)
            except BaseException as error:
                data.send(b"failed: " + repr(error).encode()[:1000])
                os._exit(1)
            live(data, config)
        data.close()
        ended = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(status, select.POLLHUP)
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
            pass  # nobody listens any more
    finally:
        os._exit(0)


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


# ---- cell ------------------------------------------------------------------------------------------------------------

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 16384, 1 << 18
PROXY_PORT = 3128


def become(data, config):
    """Gives up everything that a script must not have. Says "ready" and sends the socket on which the worker is the proxy."""
    listener = own_network()
    own_files(config)
    for name, value in config["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    drop_capabilities()
    system("prctl", 38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    landlock()
    os.environ.clear()
    os.environ.update(config["environment"])
    os.chdir("/tmp")
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    seccomp(config["filter"])
    socket.send_fds(data, [b"ready"], [listener.fileno()])
    listener.close()


def own_network():
    """Brings the loopback interface of the empty network up. Nothing else is in it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sh", b"lo", 0x41))  # SIOCSIFFLAGS: IFF_UP | IFF_RUNNING
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", PROXY_PORT))
    listener.listen(16)
    return listener


def own_files(config):
    mount(None, "/", None, MS_REC | MS_PRIVATE, None)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, f"size={config['tmp_bytes']},nr_inodes=1024,mode=700")
    system("sethostname", b"sandbox", 7)


def mount(source, target, kind, flags, options):
    encoded = [None if text is None else text.encode() for text in (source, target, kind, options)]
    system("mount", encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])


def drop_capabilities():
    for capability in range(64):
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; beyond the last one it fails
    header = struct.pack("Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    system("capset", header, bytes(24))


def landlock():
    """Where the kernel has it: reading what is there, writing below /tmp, connecting to the proxy, and nothing else."""
    abi = libc.syscall(444, None, ctypes.c_size_t(0), 1)  # LANDLOCK_CREATE_RULESET_VERSION
    if abi < 1:
        return
    write_rights = sum(1 << bit for bit in (1, 4, 5, 7, 8, 9, 10, 12))
    every = 0x1FFF | (1 << 13 if abi >= 2 else 0) | (1 << 14 if abi >= 3 else 0) | (1 << 15 if abi >= 5 else 0)
    read = 1 << 2 | 1 << 3
    extra = every & (1 << 13 | 1 << 14)
    attributes = struct.pack("QQQ", every, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = system("syscall", 444, attributes, ctypes.c_size_t(size), 0)
    rules = [("/", read), ("/tmp", read | write_rights | extra), ("/dev/null", 1 << 1 | 1 << 2)]
    for path, rights in rules:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        system("syscall", 445, ruleset, 1, struct.pack("=Qi", rights, fd), 0)
        os.close(fd)
    if abi >= 4:
        system("syscall", 445, ruleset, 2, struct.pack("QQ", 1 << 1, PROXY_PORT), 0)
    system("syscall", 446, ruleset, 0)
    os.close(ruleset)


def seccomp(program):
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    system("prctl", 22, 2, ctypes.byref(Program(len(program) // 8, program)), 0, 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


# ---- one script ------------------------------------------------------------------------------------------------------

MESSAGE_MAX = 2000
TRACE_MAX = 8000


def live(data, config):
    """Waits for one job, runs it, answers, ends."""
    try:
        job = json.loads(receive(data))
    except (EOFError, OSError):
        os._exit(0)  # not needed after all
    answer = run(job, config)
    try:
        text = json.dumps(answer, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        text = json.dumps({"kind": "bad_response", "message": describe(error), "log": answer["log"]}).encode()
    try:
        data.sendall(struct.pack(">I", len(text)) + text)
    finally:
        os._exit(0)


def receive(data):
    size = struct.unpack(">I", exactly(data, 4))[0]
    return exactly(data, size)


def exactly(data, size):
    parts = []
    while size:
        part = data.recv(min(size, 1 << 16))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class Log:
    """What the script writes, up to a limit; the rest is counted, not kept."""

    encoding, errors, closed = "utf-8", "replace", False

    def __init__(self, limit):
        self.parts, self.left, self.lost = [], limit, 0

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError("write() argument must be str")
        kept = text.encode("utf-8", "replace")[: max(self.left, 0)].decode("utf-8", "ignore") if self.left else ""
        self.left -= len(kept.encode())
        self.lost += len(text) - len(kept)
        if kept:
            self.parts.append(kept)
        else:
            self.left = 0
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        pass

    def isatty(self):
        return False

    def writable(self):
        return True

    def text(self):
        return "".join(self.parts) + (f"\n... {self.lost} more characters" if self.lost else "")


class Context:
    """What a script may know of its run (contract, section 4.6)."""

    def __init__(self, job):
        import time

        self.function_name = job["step"]
        self.aws_request_id = job["event_id"]
        self._now, self._end = time.monotonic, time.monotonic() + job["timeout_ms"] / 1000

    def get_remaining_time_in_millis(self):
        return max(0, int((self._end - self._now()) * 1000))


def run(job, config):
    import logging
    import types

    log = Log(config["log_bytes"])
    sys.stdout = sys.stderr = log
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
    logging.getLogger().addHandler(handler)
    answer = {"log": ""}
    try:
        answer.update(call(job, types.ModuleType("lambda_function"), log))
    except MemoryError as error:
        error.__traceback__ = None  # what filled the memory hangs on its frames
        answer.update(kind="memory", message="the script needed more memory than it may have")
    except BaseException as error:
        answer.update(kind="exception", message=describe(error))
        log.write(trace(error))
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    answer["log"] = log.text()
    return answer


def call(job, module, log):
    import inspect
    import linecache

    name, script = "main.py", job["script"]
    linecache.cache[name] = (len(script), None, script.splitlines(True), name)
    try:
        code = compile(script, name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, OverflowError) as error:
        return {"kind": "syntax", "message": describe(error)}
    if job["params"] is not None:
        give_startparam(job)
    if job.get("host"):
        give_host()
    exec(code, module.__dict__)
    main = getattr(module, "main", None)
    if not callable(main):
        return {"kind": "no_main", "message": "the script has no function main(event, context)"}
    event = {
        "headers": {"Content-Type": "application/json"}, **(job.get("event") or {}),
        "body": job["body"], "isBase64Encoded": job.get("base64", False),
    }
    context = Context(job)
    try:
        inspect.signature(main).bind(event, context)
    except TypeError as error:
        return {"kind": "no_main", "message": f"main does not take (event, context): {error}"}
    except ValueError:
        pass  # a callable without a signature: calling it tells
    return {"kind": "ok", "value": main(event, context)}


def give_startparam(job):
    """Makes startparam(n) a built-in: what a channel's script is told, counted from 1; None beyond the last."""
    import builtins

    params, place = job["params"], job.get("body_param", 0)
    if place:
        params[place - 1] = base64.b64decode(job["body"]) if job.get("base64") else job["body"]

    def startparam(n):
        return params[n - 1] if 1 <= n <= len(params) else None

    builtins.startparam = startparam


def give_host():
    """Makes the module hookturn, by which a script asks the process that runs it."""
    import http.client
    import types

    module = types.ModuleType("hookturn", "What a script may ask of hookturn (docs/gateway.md).")

    class Error(Exception):
        """Why hookturn did not do what it was asked: kind is a failure word."""

        def __init__(self, kind, detail):
            super().__init__(f"{kind}: {detail}")
            self.kind, self.detail = kind, detail

    class Response:
        """An answer of a channel's far end."""

        def __init__(self, answer):
            self.status_code, self.headers = answer["status"], answer["headers"]
            self.content = base64.b64decode(answer["body"])
            self.text, self.ok = self.content.decode("utf-8", "replace"), self.status_code < 400

        def json(self):
            return json.loads(self.content)

    def ask(path, /, **question):
        connection = http.client.HTTPConnection("127.0.0.1", PROXY_PORT, timeout=70)
        try:
            body = json.dumps(question, allow_nan=False)
            connection.request("POST", "http://hookturn/" + path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            try:
                problem = json.loads(text)
                raise Error(problem["kind"], problem["detail"])
            except (ValueError, KeyError):
                raise Error("internal", text.decode("utf-8", "replace")) from None
        return json.loads(text)

    def request(path="", method="GET", *, channel="", headers=None, body=None, timeout=10):
        """Asks the far end of a channel, by default the script's own."""
        if isinstance(body, (dict, list)):
            body, headers = json.dumps(body), {"Content-Type": "application/json", **(headers or {})}
        data = body.encode() if isinstance(body, str) else body or b""
        return Response(ask("request", channel=channel, path=path, method=method, headers=headers or {},
                            body=base64.b64encode(data).decode(), timeout_ms=int(timeout * 1000)))

    def send(channel, data=None):
        """Runs the script that sends to a channel, and gives what it returns."""
        return ask("send", channel=channel, data=data)["value"]

    def send_ws(channel, connection, data=None):
        """Runs the script that sends to a connection of a channel, and gives what it returns."""
        return ask("send_ws", channel=channel, connection=connection, data=data)["value"]

    def push(connection, name, data=None):
        """Sends a message to one connection; an Error of the kind gone when it is not there any more."""
        ask("push", connection=connection, name=name, data=data)

    def publish(event_class, data=None, object=""):
        """Tells an event to the connections that subscribed to its class; gives the event's id."""
        return ask("publish", event_class=event_class, data=data, object=object)["id"]

    def put_file(name, content, type="application/octet-stream"):
        """Keeps a file of at most 1 MiB for a week; gives its id, and a url at which anybody reads it for 5 minutes."""
        data = content.encode() if isinstance(content, str) else content
        return ask("put_file", name=name, type=type, content=base64.b64encode(data).decode())

    def get_file(id):
        """Gives name, type and content (bytes) of a file."""
        file = ask("get_file", id=id)
        file["content"] = base64.b64decode(file["content"])
        return file

    for name, thing in (("put_file", put_file), ("get_file", get_file), ("Error", Error), ("Response", Response), ("request", request), ("send", send),
                        ("send_ws", send_ws), ("push", push), ("publish", publish)):
        setattr(module, name, thing)
    sys.modules["hookturn"] = module


def describe(error):
    """The error in one line, as Python prints it at the end of a traceback."""
    import traceback

    try:
        text = "".join(traceback.format_exception_only(type(error), error)).strip()
    except BaseException:
        text = type(error).__name__
    return text[-MESSAGE_MAX:]


def trace(error):
    """The traceback from the script's own first frame on."""
    import traceback

    try:
        frames = error.__traceback__
        while frames and frames.tb_frame.f_code.co_filename != "main.py":
            frames = frames.tb_next
        return "".join(traceback.format_exception(type(error), error, frames, limit=20))[-TRACE_MAX:]
    except BaseException:
        return describe(error) + "\n"


if __name__ == "__main__":
    serve()
