"""Answers with the day on which an order arrives: a number of working days after it was placed.

Entities: ordered_on (2026-11-20, or an object with value). Environment variables of the bot: WORKING_DAYS.
"""

import datetime
import json

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def main(event, context):
    body = json.loads(event["body"])
    value = body["entities"]["ordered_on"][0]["entity_value"]
    if isinstance(value, dict):
        value = value["value"]
    ordered = datetime.date.fromisoformat(value)
    arrives = after_working_days(ordered, int(body["env_variables"]["WORKING_DAYS"]))
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps({
            "message": f"Your order arrives on {WEEKDAYS[arrives.weekday()]} {arrives.isoformat()}.",
            "arrives_on": arrives.isoformat(),
        }),
    }


def after_working_days(day, count):
    while count > 0:
        day += datetime.timedelta(days=1)
        if day.weekday() < 5:
            count -= 1
    return day
