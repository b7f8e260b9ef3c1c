"""The module hookturn: requests of a script to the worker (docs/gateway.md)."""

import base64
import collections
import http.client
import json
import selectors
import socket
import threading

__name__ = "hookturn"  # the name under which scripts import it
PROXY_PORT = 3128
TUNNEL_PORTS = range(3130, 3138)
CALL_MAX = 2 << 20


class Error(Exception):
    """An error of hookturn. kind is an error code."""

    def __init__(self, kind, detail):
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail = kind, detail


class Response:
    """A response of a channel's remote side."""

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
        if len(body) > CALL_MAX:
            raise Error("too_large", f"a call of hookturn has at most {CALL_MAX} bytes")
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
    """Sends a request to the remote side of a channel, by default the script's own channel."""
    if isinstance(body, (dict, list)):
        body, headers = json.dumps(body), {"Content-Type": "application/json", **(headers or {})}
    data = body.encode() if isinstance(body, str) else body or b""
    return Response(ask("request", channel=channel, path=path, method=method, headers=headers or {},
                        body=base64.b64encode(data).decode(), timeout_ms=int(timeout * 1000)))


def send(channel, data=None):
    """Runs the send script of a channel and returns its result."""
    return ask("send", channel=channel, data=data)["value"]


def send_ws(channel, connection, data=None):
    """Runs the script that sends to a connection of a channel and returns its result."""
    return ask("send_ws", channel=channel, connection=connection, data=data)["value"]


def push(connection, name, data=None):
    """Sends a message to one connection. Raises an Error of the kind gone when the connection is closed."""
    ask("push", connection=connection, name=name, data=data)


def publish(event_class, data=None, object=""):
    """Publishes an event to the connections that subscribed to its class and returns the event's id."""
    return ask("publish", event_class=event_class, data=data, object=object)["id"]


def put_file(name, content, type="application/octet-stream"):
    """Stores a file of at most 1 MiB for a week. Returns its id, and a public url that is valid for 5 minutes."""
    data = content.encode() if isinstance(content, str) else content
    return ask("put_file", name=name, type=type, content=base64.b64encode(data).decode())


def get_file(id):
    """Returns name, type and content (bytes) of a file."""
    file = ask("get_file", id=id)
    file["content"] = base64.b64decode(file["content"])
    return file


def tunnel(host, port):
    """Returns a port of 127.0.0.1 that leads to a host, for libraries that open sockets without Python, such as psycopg2.

    The first connection is made at once, so that a denial is an error here.
    """
    far = socket.create_connection((host, port), 15)
    for number in TUNNEL_PORTS:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", number))
            listener.listen(8)
        except OSError:
            listener.close()
            continue
        threading.Thread(target=forward, args=(listener, far, host, port), daemon=True).start()
        return number
    far.close()
    raise OSError(98, f"tunnel: at most {len(TUNNEL_PORTS)} are possible in a run")


BUFFER_MAX = 1 << 18


class End:
    """One end of a forwarded connection: what waits to be sent to it, and the end from which that comes."""

    def __init__(self, sock):
        self.sock, self.waiting, self.peer, self.open, self.ended = sock, bytearray(), None, True, False
        sock.setblocking(False)

    def events(self):
        read = selectors.EVENT_READ if self.open and len(self.peer.waiting) < BUFFER_MAX else 0
        return read | (selectors.EVENT_WRITE if self.waiting else 0)

    def step(self, events):
        if events & selectors.EVENT_READ:
            data = self.sock.recv(1 << 16)
            self.peer.waiting += data
            self.open = bool(data)
        if events & selectors.EVENT_WRITE:
            del self.waiting[:self.sock.send(self.waiting)]
        for end in (self, self.peer):
            if not end.peer.open and not end.waiting and not end.ended:
                end.ended = True
                end.sock.shutdown(socket.SHUT_WR)


def forward(listener, far, host, port):
    ready, selector = collections.deque([far]), selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ, None)
    while True:
        for key, events in selector.select():
            if key.data is None:
                join(selector, listener.accept()[0], ready, host, port)
            elif key.fileobj.fileno() >= 0:  # not closed together with its peer in this round
                pump(selector, key.data, events)


def join(selector, near, ready, host, port):
    try:
        far = ready.popleft() if ready else socket.create_connection((host, port), 15)
    except OSError:
        near.close()
        return
    ends = End(near), End(far)
    ends[0].peer, ends[1].peer = ends[1], ends[0]
    for end in ends:
        selector.register(end.sock, end.events(), end)


def pump(selector, end, events):
    try:
        end.step(events)
        broken = end.ended and end.peer.ended
    except BlockingIOError:
        broken = False
    except OSError:
        broken = True
    for one in (end, end.peer):
        if one.sock in selector.get_map():
            selector.unregister(one.sock)
        if broken:
            one.sock.close()
        elif one.events():
            selector.register(one.sock, one.events(), one)
