"""Takes an order over HTTP: asks the warehouse, notifies the dashboards, answers the shop."""
import json

import hookturn


def main(event, context):
    order = json.loads(startparam(4) or "{}")
    if "article" not in order:
        return answer(400, {"problem": "article is missing"})
    stock = hookturn.send("warehouse", {"article": order["article"]})
    hookturn.publish("orders.taken", order, object=order["article"])
    return answer(201, {"order": context.aws_request_id[:8], "in_stock": json.loads(stock["body"])["pieces"]})


def answer(status, body):
    return {"statusCode": status, "headers": {"Content-Type": "application/json"}, "body": json.dumps(body)}
