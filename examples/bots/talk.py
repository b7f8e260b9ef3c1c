"""Answers a websocket's message, and writes to the same connection once more by itself."""
import json

import hookturn


def main(event, context):
    said = json.loads(event["body"])
    hookturn.push(startparam(5), "notice", {"text": "an agent reads along"})
    return {"statusCode": 200, "body": json.dumps({"echo": said})}
