"""Checks a one-time password of an authenticator app (RFC 6238: 30 s, 6 digits, SHA-1).

Entities: otp. Environment variables of the bot: OTP_KEY (base32). One interval before and after counts as well.
"""

import base64
import hmac
import json
import struct
import time


def main(event, context):
    body = json.loads(event["body"])
    given = str(body["entities"]["otp"][0]["entity_value"]).replace(" ", "")
    key = base64.b32decode(body["env_variables"]["OTP_KEY"])
    interval = int(time.time()) // 30
    valid = any(hmac.compare_digest(given, password(key, interval + drift)) for drift in (-1, 0, 1))
    details = body.get("conversation_details") or {}
    details["verified"] = valid
    message = "Thank you, that is right." if valid else "That code is not right. Please try the next one."
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps({"status": valid, "message": message, "conversation_details": details, "verified": valid}),
    }


def password(key, interval):
    digest = hmac.new(key, struct.pack(">Q", interval), "sha1").digest()
    offset = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[offset:offset + 4])[0] & 0x7FFFFFFF) % 10**6:06d}"
