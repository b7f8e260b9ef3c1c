"""Runs one script in a sandbox process, and replaces the parts of Python that the sandbox takes away."""

import base64
import builtins
import importlib.util
import inspect
import io
import json
import linecache
import logging
import os
import socket
import struct
import sys
import threading
import time
import types

import hookturn_host

MESSAGE_MAX = 2000
TRACE_MAX = 8000
MODULE = "lambda_function"  # the script's __name__, as in the original product
NAME = "main.py"  # in tracebacks
FILE = "/code/main.py"  # the script's __file__
PAIR_PORT = 3129


class Ready:
    """What every run needs and no job changes, made before the first fork: the log, the streams, the script's module."""

    def __init__(self, limit):
        self.log = Log(limit)
        self.streams = [io.TextIOWrapper(Stream(self.log, n), "utf-8", "replace", line_buffering=True, write_through=True)
                        for n in (1, 2)]
        self.handler = logging.StreamHandler(self.streams[1])
        self.handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
        self.module = importlib.util.module_from_spec(importlib.util.spec_from_file_location(MODULE, FILE))


def prepare(config):
    config["ready"] = Ready(config["log_bytes"])


def live(job, answers, config):
    """Waits for one job, runs it, sends the answer and ends."""
    try:
        text = receive(job)
        os.close(job)
        order = json.loads(text)
    except (EOFError, OSError):
        os._exit(0)  # closed without a job
    answer = run(order, config)
    try:
        text = json.dumps(answer, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        text = json.dumps({"kind": "bad_response", "message": describe(error), "log": answer["log"]}).encode()
    try:
        send(answers, struct.pack(">I", len(text)) + text)
    finally:
        os._exit(0)


def receive(fd):
    size = struct.unpack(">I", exactly(fd, 4))[0]
    return exactly(fd, size)


def exactly(fd, size):
    parts = []
    while size:
        part = os.read(fd, min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def send(fd, text):
    view = memoryview(text)
    while view:
        view = view[os.write(fd, view):]


class Log:
    """The output of the script up to a limit; the rest is counted and dropped."""

    def __init__(self, limit):
        self.kept, self.limit, self.lost = bytearray(), limit, 0

    def write(self, data):
        data = bytes(data)
        room = max(self.limit - len(self.kept), 0)
        self.kept += data[:room]
        self.lost += len(data[room:])
        return len(data)

    def text(self):
        text = self.kept.decode("utf-8", "replace")
        return text + (f"\n... {self.lost} more bytes" if self.lost else "")


class Stream(io.RawIOBase):
    """One standard stream: it writes to the log and has the usual descriptor number."""

    mode = "wb"

    def __init__(self, log, number):
        self.log, self.number, self.name = log, number, ("<stdin>", "<stdout>", "<stderr>")[number]

    def write(self, data):
        if self.closed:
            raise ValueError("write to closed file")
        return self.log.write(data)

    def writable(self):
        return True

    def fileno(self):
        return self.number


class Context:
    """The context argument of main (contract, section 4.6)."""

    def __init__(self, job):
        self.function_name = job["step"]
        self.aws_request_id = job["event_id"]
        self._now, self._end = time.monotonic, time.monotonic() + job["timeout_ms"] / 1000

    def get_remaining_time_in_millis(self):
        return max(0, int((self._end - self._now()) * 1000))


def run(job, config):
    log, streams = config["ready"].log, config["ready"].streams
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__ = streams
    logging.getLogger().addHandler(config["ready"].handler)
    answer = {"log": ""}
    try:
        answer.update(call(job, config))
    except MemoryError as error:
        error.__traceback__ = None  # its frames hold the objects that filled the memory
        answer.update(kind="memory", message="the script needed more memory than its limit")
    except BaseException as error:
        answer.update(kind="exception", message=describe(error))
        log.write(trace(error).encode("utf-8", "replace"))
    answer["log"] = log.text()
    return answer


def call(job, config):
    script, module = job["script"].removeprefix("\ufeff"), config["ready"].module
    place(script, module, config["site"])
    try:
        code = compile(script, NAME, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, OverflowError) as error:
        return {"kind": "syntax", "message": describe(error)}
    if job["params"] is not None:
        give_startparam(job)
    if job.get("host"):
        sys.modules["hookturn"] = hookturn_host
    exec(code, module.__dict__)
    main = getattr(module, "main", None)
    if not callable(main):
        return {"kind": "no_main", "message": "the script does not have a function main(event, context)"}
    event = {
        "headers": {"Content-Type": "application/json"}, **(job.get("event") or {}),
        "body": job["body"], "isBase64Encoded": job.get("base64", False),
    }
    if job.get("body_data"):
        event["message"]["data"] = json.loads(job["body"])
    context = Context(job)
    try:
        if not takes_two(main):
            inspect.signature(main).bind(event, context)
    except TypeError as error:
        return {"kind": "no_main", "message": f"main does not take (event, context): {error}"}
    except ValueError:
        pass  # a callable without a signature: the call itself shows the error
    return {"kind": "ok", "value": main(event, context)}


def takes_two(main):
    """Reports whether a plain function takes two positional arguments: inspect takes a hundred times as long."""
    if type(main) is not types.FunctionType or main.__dict__:  # for inspect, __wrapped__ and __signature__ count
        return False
    code, defaults, keywords = main.__code__, main.__defaults__ or (), main.__kwdefaults__ or ()
    return (code.co_argcount - len(defaults) <= 2 and len(keywords) == code.co_kwonlyargcount
            and (code.co_argcount >= 2 or code.co_flags & inspect.CO_VARARGS))


def place(script, module, site):
    """Puts the script where Python's own import would: its module in sys.modules, with a file that can be read."""
    fd = os.open(FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    send(fd, script.encode("utf-8", "surrogatepass"))
    os.close(fd)
    linecache.cache[NAME] = (len(script), None, script.splitlines(True), NAME)
    sys.modules[MODULE] = sys.modules["__main__"] = module
    sys.path[:0] = [os.path.dirname(FILE)] + ["/site"] * bool(site)
    sys.argv = [FILE]


def give_startparam(job):
    """Makes startparam(n) a built-in that returns parameter n of a channel's script, from 1; None beyond the last."""
    params, place = job["params"], job.get("body_param", 0)
    if job.get("body_data"):
        params[place - 1] = json.loads(job["body"])
    elif place:
        params[place - 1] = base64.b64decode(job["body"]) if job.get("base64") else job["body"]

    def startparam(n):
        return params[n - 1] if 1 <= n <= len(params) else None

    builtins.startparam = startparam


def describe(error):
    """Returns the error in one line, as Python prints it at the end of a traceback."""
    import traceback

    try:
        text = "".join(traceback.format_exception_only(type(error), error)).strip()
    except BaseException:
        text = type(error).__name__
    return text[-MESSAGE_MAX:]


def trace(error):
    """Returns the traceback from the script's first frame on."""
    import traceback

    try:
        frames = error.__traceback__
        while frames and frames.tb_frame.f_code.co_filename != NAME:
            frames = frames.tb_next
        return "".join(traceback.format_exception(type(error), error, frames, limit=20))[-TRACE_MAX:]
    except BaseException:
        return describe(error) + "\n"


# ---- differences inside a sandbox ------------------------------------------------------------------------------------


def quicken():
    """Disables Nagle's algorithm: behind a proxy, urllib3 would wait 40 ms for acknowledgements in each request."""
    plain = socket.socket

    class Socket(plain):
        def connect(self, address):
            host, port = outside(self, address)
            if host:
                through(self, plain, host, port)
            else:
                super().connect(address)
            if self.family in (socket.AF_INET, socket.AF_INET6) and self.type == socket.SOCK_STREAM:
                self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    Socket.__name__ = Socket.__qualname__ = "socket"
    Socket.__module__ = "socket"
    socket.socket = Socket


# Names that the script looked up, by the address that stands for each. The worker resolves names: the proxy gets the name.
FIRST_NAME = 0xF0000001  # 240.0.0.1: reserved, so that it is not the address of a host
named, lookup = {}, threading.Lock()


def names():
    """Lets the script connect to hosts with its own sockets: each connection goes through the egress proxy."""
    numeric, flag = socket.getaddrinfo, socket.AI_NUMERICHOST

    def getaddrinfo(host, port, family=0, type=0, proto=0, flags=0):
        try:
            return numeric(host, port, family, type, proto, flags | flag)
        except socket.gaierror:
            name = host.decode("ascii") if isinstance(host, (bytes, bytearray)) else host
            if flags & flag or not name or name == "localhost" or family == socket.AF_INET6:
                raise
        name = name.encode("idna").decode("ascii").lower()
        with lookup:
            known = {text: address for address, text in named.items()}
            address = known.get(name) or socket.inet_ntoa(struct.pack(">I", FIRST_NAME + len(named)))
            named[address] = name
        return numeric(address, port, family, type, proto, flags | flag)

    socket.getaddrinfo = getaddrinfo
    socket.gethostbyname = lambda name: getaddrinfo(name, None, socket.AF_INET)[0][4][0]


def outside(sock, address):
    """Returns host and port when the address is not in the sandbox, else (None, None)."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM or not isinstance(address, tuple):
        return None, None
    try:
        host, port = socket.getaddrinfo(address[0], address[1], sock.family, socket.SOCK_STREAM)[0][4][:2]
    except (socket.gaierror, UnicodeError):
        return None, None
    if host.startswith("127.") or host in ("::1", "0.0.0.0", "::"):
        return None, None
    return named.get(host, host), port


def through(sock, plain, host, port):
    """Connects a socket to a host through the egress proxy. A denial is a PermissionError with its reason."""
    limit = sock.gettimeout()
    sock.settimeout(limit or 15)  # the worker takes 10 s at most
    plain.connect(sock, ("127.0.0.1" if sock.family == socket.AF_INET else "::ffff:127.0.0.1", 3128))
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    sock.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)  # what comes after the header is the host's
        if not byte or len(head) > 4096:
            raise ConnectionResetError(104, f"connect to {target}: the proxy closed the connection")
        head += byte
    status = head.split(b" ", 2)[1]
    if status != b"200":
        reason = sock.recv(2000).decode("utf-8", "replace").strip()
        sock.close()
        raise (PermissionError(13, f"connect to {target}: {reason}") if status == b"403"
               else ConnectionRefusedError(111, f"connect to {target}: {reason}"))
    sock.settimeout(limit)


pairing = threading.Lock()


def socketpair(family=None, type=socket.SOCK_STREAM, proto=0):
    """Returns a pair of connected loopback sockets: AF_UNIX is not available to scripts (docs/code-steps.md)."""
    kind = type & ~(socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    if kind == socket.SOCK_DGRAM:
        ends = [socket.socket(socket.AF_INET, kind) for _ in range(2)]
        for end in ends:
            end.bind(("127.0.0.1", 0))
        ends[0].connect(ends[1].getsockname())
        ends[1].connect(ends[0].getsockname())
    elif kind == socket.SOCK_STREAM:
        ends = streams()
    else:
        raise OSError(95, "socketpair: only SOCK_STREAM and SOCK_DGRAM exist here")
    for end in ends:
        end.setblocking(not type & socket.SOCK_NONBLOCK)
    return ends[0], ends[1]


def streams():
    with pairing, socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", PAIR_PORT))
        server.listen(4)
        first = socket.socket()
        try:
            first.connect(server.getsockname())
            second, address = server.accept()
            while address != first.getsockname():  # another thread of the script connected first
                second.close()
                second, address = server.accept()
        except BaseException:
            first.close()
            raise
    second.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return [first, second]


def few_cores():
    """Limits os.cpu_count: a script can start 16 threads, and thread pools take their size from the number of cores."""
    cores = min(os.cpu_count() or 1, 4)
    os.cpu_count = lambda: cores


def thread_pools():
    """Makes multiprocessing.pool.ThreadPool work without shared memory, which Python's own notifier needs."""
    import multiprocessing.pool as pools
    import select

    class Notifier:
        def __init__(self):
            reader, writer = os.pipe()
            self._reader, self._writer = open(reader, "rb", 0), open(writer, "wb", 0)

        def put(self, _):
            self._writer.write(b"x")

        def get(self):
            self._reader.read(1)

        def empty(self):
            return not select.select([self._reader], [], [], 0)[0]

    class Context:
        SimpleQueue = Notifier

    def init(self, processes=None, initializer=None, initargs=()):
        pools.Pool.__init__(self, processes, initializer, initargs, context=Context())

    pools.ThreadPool.__init__ = init


quicken()
names()
socket.socketpair = socketpair
few_cores()
thread_pools()
