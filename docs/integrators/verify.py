"""Verification of hookturn's signatures in Python 3, with the standard library only."""
import base64
import hashlib
import hmac
import time


def verify(scheme, headers, body, secret, now=None):
    """Reports whether a request was signed with the secret.

    headers: names in lower case; body: bytes, as they were received.
    """
    if scheme in ("hub-sha1", "hub-sha256"):
        name = {"hub-sha1": "x-hub-signature", "hub-sha256": "x-hub-signature-256"}[scheme]
        algorithm = scheme.removeprefix("hub-")
        want = algorithm + "=" + hmac.new(secret.encode(), body, algorithm).hexdigest()
        return hmac.compare_digest(want.encode(), headers.get(name, "").encode())
    message_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message_id or not stamp.isdigit():
        return False
    if abs((time.time() if now is None else now) - int(stamp)) > 300:
        return False
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    signed = f"{message_id}.{stamp}.".encode() + body
    want = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    valid = False
    for sent in headers.get("webhook-signature", "").split():
        valid = hmac.compare_digest(want.encode(), sent.encode()) or valid
    return valid
