"""Rules of the APIs that their OpenAPI documents state in words, as JSON Schema cannot express them.

schemathesis generates requests that a document allows, and expects that they are accepted. This
module changes these requests so that they follow the other rules, too.
"""

import schemathesis

# A call with both is refused. The second is removed.
EXCLUSIVE = [("notifyOffsets", "notifyOffset"), ("minutes", "until"), ("channels", "notifyType")]


@schemathesis.hook
def before_load_schema(_context, raw_schema):
    """Operators need no token with APP_ENV=local, which the suite sets."""
    if "operatorToken" in raw_schema["components"]["securitySchemes"]:
        del raw_schema["security"]


@schemathesis.hook
def before_call(_context, case, _kwargs):
    """Changes a request that the document allows."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    # Cursors are opaque: only an earlier answer has one.
    case.query.pop("cursor", None)
    if "timeZone" in case.query:
        case.query["timeZone"] = "Europe/Berlin"
    if isinstance(case.body, dict):
        follow_rules(case.body)
        if case.operation.path.endswith("/snooze") and not any(case.body.values()):
            case.body["minutes"] = 10


def follow_rules(body):
    for kept, removed in EXCLUSIVE:
        if body.get(kept) is not None:
            body.pop(removed, None)
    if body.get("timeZone") is not None:
        body["timeZone"] = "Europe/Berlin"
    if body.get("url"):
        body["url"] = "https://example.com/"
    if body.get("data"):
        body["data"] = {"key": "value"}
    if "isRecurring" in body:
        body["isRecurring"] = body.get("recurrence") is not None
    hours = body.get("quietHours")
    if isinstance(hours, dict):
        hours["timeZone"] = "Europe/Berlin"
        if hours.get("start") == hours.get("end"):
            hours.update(start="22:00", end="07:00")
