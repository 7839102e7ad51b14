"""What schemathesis does not know: an answer without end, raw mail, one JSON object a line, and the
formats of the document that are ours."""

import json
import unicodedata

import jsonschema_rs
import schemathesis
from hypothesis import strategies as st

NAME = r"[a-z][a-z0-9]{0,9}"
DOMAIN = rf"{NAME}(\.{NAME})?\.(example|com)"
DURATION = r"[1-9][0-9]{0,2}(ms|s|m|h|d|w)"


def format(name, *patterns):
    schemathesis.openapi.format(name, st.one_of(*(st.from_regex(p, fullmatch=True) for p in patterns)))


format("mail-address", rf"{NAME}(\+{NAME})?@{DOMAIN}")
format("mail-domain", rf"@?{DOMAIN}", "")
format("own-domain", r"bounce\.example\.com")
format("return-path", rf"bounces\+{NAME}={NAME}\.example@bounce\.example\.com")
format("peer", r"192\.0\.2\.[1-9]", "local")
format("tag", rf"{NAME}(\.[0-9]{{1,3}})?", "")
# Handed back as it was given, so only a page has one.
format("cursor", "")
format("moment", DURATION, r"20[012][0-9]-0[1-9]-[012][1-8]", r"20[012][0-9]-1[012]-[012][1-8]T[01][0-9]:[0-5][0-9]:00Z", "")
# A millisecond ahead is over when it is read.
format("moment-ahead", DURATION.replace("ms|s|", ""), r"20[4-9][0-9]-0[1-9]-[012][1-8]", "")


def blank(text):
    """Nothing in it that can be seen: no reason."""
    unseen = lambda c: c.isspace() or unicodedata.category(c) in ("Cc", "Cf")
    return text is None or isinstance(text, str) and all(map(unseen, text))


@schemathesis.hook
def before_call(context, case, kwargs):
    # `follow` ends with its `limit`; without one it never does.
    if case.operation.path == "/v1/events" and case.method == "GET" and "follow" in (case.query or {}):
        case.query["limit"] = 1
        case.query["from"] = 1
    # Who changes a request that is meant to be wrong makes schemathesis think it is right.
    if not case.meta or case.meta.generation.mode is not schemathesis.GenerationMode.POSITIVE:
        return
    # A reason stands in the query or in the body, and the document cannot say "in one of them".
    if case.operation.path == "/v1/suppressions/{address}" and case.method in ("PUT", "DELETE"):
        for place in (case.body, case.query):
            if isinstance(place, dict) and blank(place.get("reason")):
                place["reason"] = "asked"
    if case.operation.path == "/v1/acts" and isinstance(case.body, dict):
        # Without a dry run it must say something, and only an undo has a dry run.
        if blank(case.body.get("reason", "there is none")):
            case.body["reason"] = "asked"
        if case.body.get("what") != "undo":
            (case.query or {}).pop("dry_run", None)
        # Whole verdicts of records that are there: `bounced replay` makes them.
        if case.body.get("what") == "rejudge" and isinstance(case.body.get("verdicts"), list):
            case.body["verdicts"] = []
    # The first day is not after the last.
    if case.operation.path == "/v1/health" and isinstance(case.query, dict) and case.query.get("from"):
        case.query.pop("to", None)


@schemathesis.serializer("message/rfc822")
def raw_mail(context, value):
    return (value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")) or b"\r\n"


@schemathesis.check
def each_line(context, response, case):
    """The document has the type of one line; every line of the answer must have it."""
    kind = "application/x-ndjson"
    if response.status_code != 200 or kind not in "".join(response.headers.get("content-type", [])):
        return
    raw = case.operation.schema.raw_schema
    operation = raw["paths"][case.operation.path][case.method.lower()]
    schema = operation["responses"]["200"]["content"][kind]["schema"]
    validator = jsonschema_rs.validator_for({**schema, "components": raw["components"]})
    for line in filter(None, response.text.split("\n")):
        validator.validate(json.loads(line))
