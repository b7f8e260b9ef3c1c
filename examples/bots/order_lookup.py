"""Looks up an order at the shop's own service and answers with its state.

Entities: product_name. Environment variables of the bot: CATALOGUE (base URL of the service).
"""

import json
import logging

import requests

log = logging.getLogger()
log.setLevel(logging.INFO)


def main(event, context):
    body = json.loads(event["body"])
    product = body["entities"]["product_name"][0]["entity_value"]
    base = body["env_variables"]["CATALOGUE"]
    # Leave time for the answer: the whole step has get_remaining_time_in_millis().
    timeout = min(7, context.get_remaining_time_in_millis() / 1000 - 1)
    answer = requests.get(f"{base}/catalogue/{product}", timeout=timeout)
    log.info("the service answered %d for %s", answer.status_code, product)
    if answer.status_code == 404:
        return reply(status=False, message=f"We do not sell a {product}.")
    answer.raise_for_status()  # an exception is a bot break: the user reads the bot's own words for it
    found = answer.json()
    details = body.get("conversation_details") or {}
    details["product"] = found["name"]
    return reply(
        message=f"{found['name']}: {found['pieces']} in stock, {found['price']} euro.",
        conversation_details=details,
        found=found,
    )


def reply(status=True, **members):
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps({"status": status, **members}),
    }
