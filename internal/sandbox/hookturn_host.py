"""The module hookturn: requests of a script to the worker (docs/gateway.md)."""

import base64
import http.client
import json

__name__ = "hookturn"  # the name under which scripts import it
PROXY_PORT = 3128


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
