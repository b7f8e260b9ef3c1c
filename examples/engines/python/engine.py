"""A bot engine that has only HTTP: it publishes one event, and reads replies until that of its event. Standard library only.

HOOKTURN_URL=http://127.0.0.1:8080 HOOKTURN_TOKEN=... python3 engine.py orders c-42 STATUS cursor.txt
"""
import datetime
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

if len(sys.argv) != 5:
    sys.exit("usage: engine.py BOT CONVERSATION STEP CURSORFILE")
BOT, CONVERSATION, STEP, CURSOR_FILE = sys.argv[1:]
URL, TOKEN = os.environ["HOOKTURN_URL"], os.environ["HOOKTURN_TOKEN"]
EVENT = {
    "specversion": "1.0", "id": str(uuid.uuid4()), "source": "/engines/python", "type": "hookturn.step.requested",
    "time": datetime.datetime.now(datetime.timezone.utc).isoformat(), "subject": CONVERSATION, "bot": BOT,
    "data": {"step": STEP},
}
seen = set()  # CloudEvents ids of replies; a real engine keeps them for a day, in its store


def send(path, body=None, headers=(), timeout=60):
    """Return the answer; an error status raises."""
    headers = {"Authorization": "Bearer " + TOKEN, **dict(headers)}
    return urllib.request.urlopen(urllib.request.Request(URL + path, body, headers), timeout=timeout)


def publish():
    """Repeat the event under its id until hookturn has it: a repetition is stored once."""
    while True:
        try:
            send("/events", json.dumps(EVENT).encode(), {"Content-Type": "application/cloudevents+json"}).close()
            return
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                sys.exit("the event is not accepted: " + error.read().decode())
        except OSError:
            pass
        time.sleep(1)


def handle(reply):
    """Print one reply; true for the one that ends the step of the event."""
    if reply["id"] in seen:
        return False
    seen.add(reply["id"])
    for message in reply["data"].get("messages", []):
        print(reply["data"].get("outcome"), message.get("text"), flush=True)
    return reply["type"] == "hookturn.step.replied" and reply["data"]["event_id"] == EVENT["id"]


def write_cursor(position):
    """Acknowledge: a restart does not read what is before the position again."""
    with open(CURSOR_FILE, "w", encoding="ascii") as file:
        file.write(position)


def read(published):
    """Handle replies in order until the connection ends; true once the event is answered."""
    headers = {}
    if os.path.exists(CURSOR_FILE):
        with open(CURSOR_FILE, encoding="ascii") as file:
            headers["Last-Event-ID"] = file.read().strip()
    fields = {}
    with send("/replies?bot=" + BOT, headers=headers, timeout=30) as stream:  # a comment comes every ten seconds
        for raw in stream:
            line = raw.decode().rstrip("\n")
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            elif "id" in fields:
                done = "data" in fields and handle(json.loads(fields["data"]))
                write_cursor(fields["id"])
                if done:
                    return True
                if "data" not in fields and not published:
                    publish()
                    published.append(True)
                fields = {}
    return False


# Reading begins first: the first event of the stream is the position from which nothing is missed.
PUBLISHED = []
while True:
    try:
        if read(PUBLISHED):
            break
    except urllib.error.HTTPError as error:
        if error.code == 410:  # the stream was created again: read all, and rely on the ids
            write_cursor("0")
        print("connecting again:", error, file=sys.stderr)
    except OSError as error:
        print("connecting again:", error, file=sys.stderr)
    time.sleep(1)
