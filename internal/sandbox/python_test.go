package sandbox

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// ordinary are scripts that work in any Python: each has a module's worth of code and main returns true.
var ordinary = map[string]string{
	"dataclasses, annotations as text": `
from __future__ import annotations
from dataclasses import dataclass, field, asdict
from typing import ClassVar, Optional, get_type_hints
@dataclass(order=True)
class Order:
    number: int
    kind: ClassVar[str] = "order"
    lines: list[str] = field(default_factory=list)
    note: Optional[str] = None
def main(e, c):
    return asdict(Order(1)) == {"number": 1, "lines": [], "note": None} and get_type_hints(Order)["number"] is int`,
	"pickle of classes": `
import copy, enum, pickle
class Point:
    def __init__(self, x): self.x = x
class Colour(enum.Enum):
    RED = 1
def helper(x): return x
def main(e, c):
    return (pickle.loads(pickle.dumps(Point(3))).x == 3 and pickle.loads(pickle.dumps(Colour.RED)) is Colour.RED
            and pickle.loads(pickle.dumps(helper)) is helper and copy.deepcopy(Point(4)).x == 4)`,
	"named tuples and typed dictionaries": `
import collections, pickle, typing
Pair = collections.namedtuple("Pair", "a b")
class Line(typing.NamedTuple):
    n: int
class Options(typing.TypedDict, total=False):
    a: int
def main(e, c):
    return pickle.loads(pickle.dumps(Pair(1, 2))) == Pair(1, 2) and pickle.loads(pickle.dumps(Line(1))).n == 1`,
	"the module itself": `
import inspect, os, sys
class Thing:
    pass
def main(e, c):
    me = sys.modules[__name__]
    return (me.main is main and __file__.endswith(".py") and "class Thing" in open(__file__).read()
            and inspect.getmodule(main) is me and "def main" in inspect.getsource(main)
            and "class Thing" in inspect.getsource(Thing) and sys.argv == [__file__]
            and __spec__.name == __name__ and os.path.isabs(__file__))`,
	"streams": `
import io, sys
def main(e, c):
    sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)
    sys.stdout.buffer.write(b"bytes\n")
    sys.stdout.flush()
    sys.stderr.write("text\n")
    print("é", file=sys.stderr, flush=True)
    return (isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.encoding == "utf-8" and sys.stdout.writable()
            and not sys.stdout.isatty() and sys.stdout.fileno() == 1 and sys.stderr.fileno() == 2 and sys.stdin.read() == "")`,
	"streams that are replaced": `
import contextlib, io, sys
def main(e, c):
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        print("hidden")
    sys.stdout = sys.__stdout__
    print("shown")
    return text.getvalue() == "hidden\n"`,
	"asyncio": `
import asyncio
async def double(x):
    await asyncio.sleep(0.01)
    return 2 * x
async def everything():
    first = await asyncio.gather(*(double(i) for i in range(20)))
    second = await asyncio.to_thread(sum, [1, 2])
    queue = asyncio.Queue()
    async def produce():
        await queue.put("x")
    async with asyncio.TaskGroup() as group:
        group.create_task(produce())
    try:
        await asyncio.wait_for(asyncio.sleep(10), 0.01)
    except asyncio.TimeoutError:
        return sum(first) == 380 and second == 3 and await queue.get() == "x"
def main(e, c):
    return all(asyncio.run(everything()) for _ in range(5))`,
	"asyncio over sockets": `
import asyncio, socket
async def talk():
    a, b = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=a)
    other, back = await asyncio.open_connection(sock=b)
    writer.write(b"x" * 300000)
    writer.write_eof()
    got = await other.read()
    back.close(); writer.close()
    return len(got) == 300000
def main(e, c):
    return asyncio.run(talk())`,
	"pairs of sockets": `
import selectors, socket, threading
def main(e, c):
    pairs = [socket.socketpair() for _ in range(10)]
    for a, b in pairs:
        a.sendall(b"ping")
        if b.recv(4) != b"ping": return False
        b.sendall(b"pong")
        if a.recv(4) != b"pong": return False
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.send(b"one"); a.send(b"two")
    chooser = selectors.DefaultSelector()
    chooser.register(b, selectors.EVENT_READ)
    return len(chooser.select(5)) == 1 and [b.recv(10), b.recv(10)] == [b"one", b"two"]`,
	"pairs made by threads": `
import socket
from concurrent.futures import ThreadPoolExecutor
def pair(_):
    a, b = socket.socketpair()
    with a, b:
        a.sendall(b"x")
        return b.recv(1) == b"x"
def main(e, c):
    with ThreadPoolExecutor(8) as pool:
        return all(pool.map(pair, range(40)))`,
	"sixteen threads": `
import threading
from concurrent.futures import ThreadPoolExecutor
def main(e, c):
    together, hold = threading.Barrier(16), []
    def work(n):
        hold.append(bytearray(16 << 20))
        together.wait(20)
        return n
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(work, range(16))) == list(range(16)) and len(hold) == 16`,
	"as many threads as a pool likes": `
from concurrent.futures import ThreadPoolExecutor, as_completed
def main(e, c):
    with ThreadPoolExecutor() as pool:
        return sum(f.result() for f in as_completed([pool.submit(pow, 2, i) for i in range(100)])) == 2 ** 100 - 1`,
	"pools of threads by another name": `
from multiprocessing.dummy import Pool
from multiprocessing.pool import ThreadPool
def main(e, c):
    with ThreadPool(4) as pool, Pool(2) as other:
        return pool.map(abs, range(-50, 0)) == list(range(50, 0, -1)) and other.apply_async(pow, (2, 5)).get(50) == 32`,
	"thread-local values, timers, queues": `
import contextvars, queue, threading
def main(e, c):
    box = queue.Queue()
    timer = threading.Timer(0.01, box.put, ["late"])
    timer.start()
    local = threading.local()
    local.x = 1
    return box.get(timeout=50) == "late" and not timer.join() and threading.main_thread() is threading.current_thread()`,
	"mocks and tests": `
import unittest
from unittest import mock
def fetch(): raise OSError
class Tests(unittest.TestCase):
    def test_fetch(self):
        with mock.patch(__name__ + ".fetch", return_value=3):
            self.assertEqual(fetch(), 3)
def main(e, c):
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Tests)
    return unittest.TextTestRunner().run(suite).wasSuccessful()`,
	"doctests": `
import doctest, sys
def double(x):
    """
    >>> double(2)
    4
    """
    return 2 * x
def main(e, c):
    return doctest.testmod(sys.modules[__name__]) == (0, 1)`,
	"logging": `
import io, logging, logging.handlers
def main(e, c):
    text = io.StringIO()
    log = logging.getLogger(__name__)
    log.addHandler(logging.StreamHandler(text))
    log.addHandler(logging.FileHandler("/tmp/x.log"))
    log.addHandler(logging.handlers.RotatingFileHandler("/tmp/y.log", maxBytes=100, backupCount=2))
    log.warning("%s", "careful")
    logging.basicConfig(level=logging.DEBUG, force=True)
    logging.getLogger().debug("to the log")
    return text.getvalue() == open("/tmp/x.log").read() == "careful\n"`,
	"decimals, fractions, statistics": `
from decimal import Decimal, localcontext, ROUND_HALF_EVEN
from fractions import Fraction
import math, statistics
def main(e, c):
    with localcontext() as context:
        context.prec = 30
        third = Decimal(1) / 3
    return (str(third) == "0.333333333333333333333333333333" and Decimal("2.675").quantize(Decimal("0.01"), ROUND_HALF_EVEN) == Decimal("2.68")
            and Fraction(1, 3) + Fraction(1, 6) == Fraction(1, 2) and statistics.median([3, 1, 2]) == 2 and math.isqrt(17) == 4)`,
	"times and zones": `
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo
import calendar, time
def main(e, c):
    kolkata = datetime(2026, 11, 28, 12, tzinfo=timezone.utc).astimezone(ZoneInfo("Asia/Kolkata"))
    berlin = datetime(2026, 7, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    return (kolkata.isoformat() == "2026-11-28T17:30:00+05:30" and berlin.utcoffset() == timedelta(hours=2)
            and time.localtime(0).tm_hour == 0 and calendar.monthrange(2028, 2)[1] == 29)`,
	"files below /tmp": `
import csv, glob, gzip, io, os, pathlib, shelve, shutil, sqlite3, tarfile, tempfile, zipfile
def main(e, c):
    with tempfile.TemporaryDirectory() as d, tempfile.NamedTemporaryFile("w+") as f:
        p = pathlib.Path(d) / "a" / "b.txt"
        p.parent.mkdir()
        p.write_text("x")
        shutil.copy(p, p.with_suffix(".bak"))
        os.replace(p.with_suffix(".bak"), pathlib.Path(d) / "c")
        db = sqlite3.connect(pathlib.Path(d) / "db")
        db.execute("create table t (n)")
        db.execute("insert into t values (7)")
        db.commit()
        with shelve.open(d + "/shelf") as s: s["k"] = [1]
        with zipfile.ZipFile(d + "/z.zip", "w") as z: z.writestr("m", "n")
        with tarfile.open(d + "/t.tar.gz", "w:gz") as t: t.add(p, "b")
        with gzip.open(d + "/g.gz", "wt") as g: g.write("g")
        os.symlink(p, d + "/link")
        out = io.StringIO()
        csv.writer(out).writerow(["a", 1])
        return (db.execute("select n from t").fetchone() == (7,) and gzip.open(d + "/g.gz", "rt").read() == "g"
                and len(glob.glob(d + "/**", recursive=True)) > 6 and out.getvalue() == "a,1\r\n" and open(d + "/link").read() == "x")`,
	"imports of one's own": `
import importlib, sys
def main(e, c):
    open("/tmp/helper.py", "w").write("def f(): return 5")
    sys.path.append("/tmp")
    import helper
    return helper.f() == 5 and importlib.import_module("json").dumps(1) == "1"`,
	"text": `
import difflib, html, json, locale, re, string, textwrap, unicodedata
from email.message import EmailMessage
from html.parser import HTMLParser
from xml.etree import ElementTree
from xml.dom import minidom
def main(e, c):
    message = EmailMessage()
    message["Subject"] = "é"
    message.set_content("text")
    locale.setlocale(locale.LC_ALL, "")
    return (json.loads(json.dumps({"é": [1.5, None]}, ensure_ascii=False)) == {"é": [1.5, None]} and html.unescape("&eacute;") == "é"
            and unicodedata.normalize("NFC", "e\u0301") == "é" and re.sub(r"(?P<x>\d+)", r"<\g<x>>", "a1") == "a<1>"
            and ElementTree.fromstring("<a><b>1</b></a>").findtext("b") == "1" and minidom.parseString("<a/>").documentElement.tagName == "a"
            and "Subject" in message.as_string() and textwrap.shorten("a b c d e f", 8) == "a [...]" and string.Template("$a").substitute(a=1) == "1")`,
	"secrets and digests": `
import base64, binascii, hashlib, hmac, random, secrets, ssl, uuid, zlib
def main(e, c):
    random.seed(1)
    first = random.random()
    random.seed(1)
    return (first == random.random() and len(secrets.token_hex(8)) == 16 and uuid.uuid4() != uuid.uuid4() and uuid.uuid1() and
            hmac.new(b"k", b"m", "sha256").hexdigest() and hashlib.scrypt(b"p", salt=b"s", n=2, r=1, p=1) and zlib.crc32(b"x") and
            hashlib.sha1(b"").hexdigest().startswith("da39") and ssl.create_default_context().verify_mode == ssl.CERT_REQUIRED)`,
	"generators, contexts, classes": `
from __future__ import annotations
import abc, contextlib, functools, itertools, operator, weakref
from typing import Generic, Protocol, TypeVar, overload
T = TypeVar("T")
class Box(Generic[T]):
    __slots__ = ("value", "__weakref__")
    def __init__(self, value: T): self.value = value
class Sized(Protocol):
    def size(self) -> int: ...
class Base(abc.ABC):
    @abc.abstractmethod
    def f(self): ...
    def __init_subclass__(cls, **k): cls.known = True
class Child(Base):
    @functools.cached_property
    def slow(self): return 1
    def f(self): return super().__class__.__name__
@functools.lru_cache
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
@functools.singledispatch
def show(x): return "other"
@show.register
def _(x: int): return "int"
@contextlib.contextmanager
def open_box():
    yield Box(1)
def main(e, c):
    with open_box() as b, contextlib.ExitStack() as stack, contextlib.suppress(ZeroDivisionError):
        match {"k": [1, 2]}:
            case {"k": [first, *rest]}: pass
        return (Child.known and Child().slow == 1 and fib(50) == 12586269025 and show(1) == "int" and weakref.ref(b)() is b
                and first == 1 and list(itertools.accumulate([1, 2, 3], operator.mul)) == [1, 2, 6])`,
	"signals, limits, the machine": `
import faulthandler, gc, os, platform, resource, signal, sys, sysconfig, time, tracemalloc, warnings
def main(e, c):
    rung = []
    signal.signal(signal.SIGALRM, lambda *a: rung.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    end = time.monotonic() + 300
    while not rung and time.monotonic() < end: time.sleep(0.01)
    faulthandler.enable()
    warnings.warn("careful")
    return (rung == [1] and os.getpid() and os.cpu_count() >= 1 and platform.system() == "Linux" and platform.platform() != ""
            and os.getcwd() == "/tmp" and os.path.expanduser("~") == "/tmp" and sys.executable != "" and gc.collect() >= 0
            and resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 64 and os.environ["HOME"] == "/tmp" and sys.flags.utf8_mode in (0, 1))`,
	"globals and the rest of a module": `
import builtins
counter: int = 0
__all__ = ["main"]
if __name__ == "__main__": raise SystemExit("not so")
def count():
    globals()["counter"] += 1
def main(e, c):
    count()
    exec("made = counter + 1", globals())
    return made == 2 and eval("counter") == 1 and callable(builtins.print) and __builtins__ is not None`,
	"exceptions": `
import traceback
class Mine(Exception): pass
def main(e, c):
    try:  # the outer one
        try:
            raise KeyError("a")
        except KeyError as inner:
            raise Mine("b") from inner
    except Mine as error:
        text = traceback.format_exc()
        group = ExceptionGroup("g", [error])
        return "raise Mine" in text and 'line 7' in text and isinstance(error.__cause__, KeyError) and len(group.exceptions) == 1`,
	"deep recursion": `
import sys
def depth(n): return 0 if n == 0 else 1 + depth(n - 1)
def main(e, c):
    sys.setrecursionlimit(5000)
    return depth(4000) == 4000`,
	"children are refused politely": `
import os, subprocess
def main(e, c):
    tried = []
    for f in (lambda: subprocess.run(["true"]), os.fork, lambda: os.posix_spawn("/bin/true", ["true"], {})):
        try: f()
        except OSError: tried.append("refused")
    return tried == ["refused"] * 3`,
}

// TestPython_Ordinary runs what people write, and what a stand-in for Python would get wrong.
func TestPython_Ordinary(t *testing.T) {
	s := newSandbox(t, func(o *Options) { o.Concurrency = 8 })
	t.Run("scripts", func(t *testing.T) {
		for name, script := range ordinary {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r, f := s.Run(t.Context(), job(script))
				require.Nil(t, f, r.Log)
				require.Equal(t, "true", string(r.Value), r.Log)
			})
		}
	})
}

// TestPython_ByteOrderMark runs a script as editors of Windows write it.
func TestPython_ByteOrderMark(t *testing.T) {
	s := newSandbox(t)
	r, f := s.Run(t.Context(), job("\ufeff"+strings.ReplaceAll("# -*- coding: utf-8 -*-\ndef main(e, c):\n    return 'é'\n", "\n", "\r\n")))
	require.Nil(t, f, r.Log)
	require.Equal(t, `"\u00e9"`, string(r.Value))
}

// TestPython_Log keeps what both streams get, in the order in which they get it, and counts what is too much.
func TestPython_Log(t *testing.T) {
	s := newSandbox(t)
	r, f := s.Run(t.Context(), job(`
import logging, sys
def main(e, c):
    print("one", end="")
    sys.stderr.write(" two")
    sys.stdout.buffer.write(b" three \xff\n")
    logging.warning("four")
    print("\ud800")
    for _ in range(3000): print("x" * 99)
`))
	require.Nil(t, f, r.Log)
	require.True(t, strings.HasPrefix(r.Log, "one two three \ufffd\n[WARNING] four\n?\n"), r.Log[:100])
	require.LessOrEqual(t, len(r.Log), LogMax+100)
	require.Contains(t, r.Log, " more bytes")
}
