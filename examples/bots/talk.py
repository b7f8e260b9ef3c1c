"""Answers a message of a WebSocket connection, and pushes one more message to the same connection."""
import json

import hookturn


def main(event, context):
    said = json.loads(event["body"])
    hookturn.push(startparam(5), "notice", {"text": "an agent reads along"})
    return {"statusCode": 200, "body": json.dumps({"echo": said})}
