"""What no honest client sends, and much that one nearly would: strategies for requests to the API.

Texts hold ``~names~`` that are filled in once there is a code, a token or a user to name.
"""

from __future__ import annotations

import bz2
import gzip
import json
import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from encodings.aliases import aliases
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.db import transaction
from django.http.multipartparser import MultiPartParserError
from django.test import RequestFactory
from django.utils import translation
from hypothesis import HealthCheck, reject
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
# Stands in bodies, queries and headers of what is sent, and must stand in no log.
MARKER = "marker-5f2b"

SOUND = ["~user~", "~staff~", "~organization~", "~session~", "~event~", "~client~", "~callback~", "~challenge~"]
SOUND += ["~code~", "~refresh~", "~access~", "~key~", "session.created", "authorization_code", "refresh_token"]
SOUND += ["code", "S256", "10", "asc", "active", "dave@example.com", "2026-01-15T12:00:00.000Z", "192.0.2.1"]
NASTY = ["", " ", "\x00", "a\x00b", "\ud800", "\udfff~code~", "'", '"', "%00", "%s", "-1", "0", "100", "101", "٣", "²"]
NASTY += [
    "9" * 30,
    "9" * 5000,
    "1e999",
    "nan",
    "true",
    "null",
    "[]",
    "{}",
    "../..",
    ".",
    "*",
    "%",
    "_",
    "\\",
    "\u202e",
]
NASTY += [
    "\u202e",
    "\ufeff",
    "1 OR 1=1",
    "<script>",
    "{{7*7}}",
    "\r\nSet-Cookie: a=b",
    "é" * 300,
    "😀",
    MARKER,
    "a" * 60_000,
]
NASTY += [
    "session_" + "Z" * 26,
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2026-02-30",
    "fe80::1%eth0",
]

CODE_GRANT = {
    "grant_type": "authorization_code",
    "client_id": "~client~",
    "client_secret": "~key~",
    "code": "~code~",
    "redirect_uri": "~callback~",
    "ip_address": "192.0.2.1",
    "user_agent": MARKER,
}
REFRESH_GRANT = {
    "grant_type": "refresh_token",
    "client_id": "~client~",
    "refresh_token": "~refresh~",
    "organization_id": "~organization~",
}
BODIES = [CODE_GRANT, REFRESH_GRANT, {"session_id": "~session~"}]
PAGE = {"limit": "10", "after": "~event~", "order": "asc"}
# What each endpoint asks for; one that is new gets everything.
QUERIES = {
    "authenticate": {},
    "authorize": {
        "client_id": "~client~",
        "redirect_uri": "~callback~",
        "response_type": "code",
        "state": MARKER,
        "code_challenge": "~challenge~",
        "code_challenge_method": "S256",
    },
    "logout": {"session_id": "~session~", "return_to": "~callback~"},
    "users": {"email": "dave@example.com", "limit": "10", "after": "~user~"},
    "user": {},
    "user_sessions": {"limit": "10", "after": "~session~"},
    "organization": {},
    "memberships": {"user_id": "~user~", "organization_id": "~organization~", "statuses": "active"},
    "events": {
        "events": "session.created,impersonation.requested",
        "events[]": "session.revoked",
        "range_start": "2026-01-15T12:00:00.000Z",
        "range_end": "2100-01-15T12:00:00.000Z",
        "organization_id": "~organization~",
        **PAGE,
    },
}
EVERYTHING = {name: sound for asked in QUERIES.values() for name, sound in asked.items()} | {"before": "~event~"}
METHODS = [
    "GET",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "get",
    "QUERY",
    "é",
    "X" * 99,
]
# Every codec that Python has: some unpack, and some decode to what is no text.
CHARSETS = sorted({*aliases.values(), "idna", "punycode", "undefined", "raw_unicode_escape", "unicode_escape"})
PACKERS: dict[str, Any] = {"gzip": gzip.compress, "bz2": bz2.compress, "zlib": zlib.compress}
ACCEPTED = ["application/json", "text/html", "*/*;q=x", "application/xml", ""]
HEADERS = {
    "HTTP_ACCEPT_LANGUAGE": ["de", "x" * 600, "*", "en;q=nan"],
    "HTTP_CONTENT_ENCODING": ["gzip", "br"],
    "HTTP_TRANSFER_ENCODING": ["chunked"],
    "HTTP_X_HTTP_METHOD_OVERRIDE": ["DELETE", "POST"],
    "HTTP_ORIGIN": ["https://evil.example.com", "null"],
    "HTTP_SEC_FETCH_DEST": ["document", "empty", "iframe", ""],
    "HTTP_SEC_PURPOSE": ["prefetch", "prefetch;prerender"],
    "HTTP_USER_AGENT": ["", MARKER, "é" * 400],
    "HTTP_COOKIE": ["sessionid=x", "impersonation=session_" + "0" * 26, "impersonation=\xff; sessionid=", "=;;=\x00"],
    "CONTENT_LENGTH": ["", "0", "-1", "1", "+1", "x", "٣", "1.5", "9" * 5000, "1000000", "1" + "0" * 15],
}

text = st.sampled_from(SOUND) | st.sampled_from(NASTY) | st.text(max_size=20)
text |= st.builds("{}{}".format, st.sampled_from(SOUND), st.sampled_from(["\x00", " ", "\n", "x", "?", "\ud800"]))
scalar = st.none() | st.booleans() | st.integers() | st.floats() | st.just(10**400) | text
value = st.recursive(
    scalar,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*CODE_GRANT]) | text, inner, max_size=3)
    ),
    max_leaves=6,
)
LEFT_OUT = object()
latin1 = st.binary(max_size=60).map(lambda data: data.decode("latin-1"))


def nearly(sound: dict[str, str], strange: Any) -> Any:
    """What is sound, with a change or two: another value, none, or a member that nobody knows."""
    name = st.sampled_from([*sound, *sound, *sound, "x", MARKER, "", "code_verifier", "a" * 5000])
    changes = st.dictionaries(name, strange | st.just(LEFT_OUT), max_size=2)
    return changes.map(
        lambda changed: {name: some for name, some in (sound | changed).items() if some is not LEFT_OUT}
    )


def queries(name: str | None) -> Any:
    """What the endpoint of this name reads in an address, and much else."""
    pairs = nearly(QUERIES.get(name or "", EVERYTHING), text).map(lambda chosen: [*chosen.items()])
    anything = st.lists(st.tuples(st.sampled_from([*EVERYTHING]) | text, text), max_size=4)
    return st.one_of(
        pairs.map(urlencoded),
        pairs.map(urlencoded),
        anything.map(urlencoded),
        latin1,
        st.sampled_from(
            ["", "%", "&&=&", "a" * 70_000, "=\\ud800", "state=\\ud800", "a&" * 1001, "session_id=\\udfff"]
        ),
    )


def urlencoded(fields: list[tuple[str, str]]) -> str:
    return "&".join("=".join(quote_plus(part, safe="~", errors="surrogatepass") for part in field) for field in fields)


forms = st.one_of([nearly(body, text).map(lambda chosen: urlencoded([*chosen.items()])) for body in BODIES])
forms |= st.sampled_from(["a&" * 1001, "code=~code~&code=~code~", "=", "&", "%00=%ff", "code"])
documents = st.one_of([nearly(body, value) for body in BODIES] + [value]).map(json.dumps) | st.sampled_from(
    [
        '{"code": "~code~", "code": "~code~"}',
        "[" * 15_000,
        '{"a":' * 3_000 + "1" + "}" * 3_000,
        "1" * 15_000,
        '{"code": NaN, "a": -Infinity}',
        '{"grant_type": "\\ud800"}',
        "{} {}",
        "\ufeff{}",
        '{"a": "' + "x" * 16_384 + '"}',
    ]
)
charset = st.sampled_from(
    ["", "", *(f"; charset={name}" for name in ("utf-8", "UTF-16", "unicode_escape", "bz2", "x"))]
)
charset |= st.sampled_from(CHARSETS).map("; charset={}".format)
kinds = st.builds(
    "{}{}".format,
    st.sampled_from([JSON, JSON, JSON, FORM, FORM, "text/plain", "multipart/form-data; boundary=x", "application/xml"])
    | st.sampled_from(["", ";", "/", "application/JSON", "application/json;a=b", "x" * 999]),
    charset,
)
written = st.sampled_from(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "utf-32", "utf-7", *PACKERS])
AUTHORIZATION = ["Bearer ~key~"] * 30
AUTHORIZATION += ["", "Bearer", "Bearer ~events~", "bearer  ~key~ ", "Bearer ~access~", "Bearer ~refresh~", "~key~"]
AUTHORIZATION += [f"Bearer {MARKER}", f"Basic {MARKER}", "Bearer " + "x" * 100_000, "Bearer ~access~x", "\x00"]
AUTHORIZATION += ["Bearer ~key~é", "Bearer e30.e30.e30", "Bearer ..", "Bearer ~key~,Bearer x"]
authorization = st.sampled_from(AUTHORIZATION) | latin1.map("Bearer {}".format)
headers = st.builds(
    lambda accepted, others: [("HTTP_ACCEPT", accepted), *others],
    st.sampled_from(ACCEPTED),
    st.lists(st.sampled_from([(name, some) for name, values in HEADERS.items() for some in values]), max_size=2),
)


class Sent(NamedTuple):
    """A request: its texts still have names in them."""

    method: str
    query: str
    kind: str
    body: str | bytes
    encoding: str
    authorization: str
    headers: list[tuple[str, str]]

    def to(self, path: str, known: dict[str, str]) -> dict[str, Any]:
        """What ``Client.generic`` takes."""
        given: dict[str, Any] = {
            "QUERY_STRING": filled(self.query, known),
            "CONTENT_TYPE": self.kind,
            "HTTP_AUTHORIZATION": filled(self.authorization, known),
            **dict(self.headers),
        }
        data = self.body if isinstance(self.body, bytes) else encoded(filled(self.body, known), self.encoding)
        # A stream that ends where the bytes end, whatever the headers say; the test client's own would complain.
        given["wsgi.input"] = BytesIO(data)
        return {
            "method": self.method,
            "path": quote(filled(path, known), errors="surrogatepass"),
            "data": data,
            **given,
        }


def sent(name: str | None, methods: list[str]) -> Any:
    """Any request to the endpoint of this name, most by one of these methods."""
    return st.builds(
        Sent,
        st.sampled_from(methods * 40 + METHODS),
        queries(name),
        kinds,
        documents | forms | st.binary(max_size=60),
        written,
        authorization,
        headers,
    )


def browsed(asked: dict[str, str]) -> Any:
    """Any request to a page, with what it asks for in the query and in the form."""
    fields = nearly(asked, text).map(lambda chosen: urlencoded([*chosen.items()]))
    return st.builds(
        Sent,
        st.sampled_from(["GET", "POST"] * 20 + METHODS),
        fields | fields | queries("authorize"),
        kinds | st.sampled_from([FORM] * 5),
        fields | forms | st.binary(max_size=60),
        written,
        st.just(""),
        headers,
    )


def filled(text: str, known: dict[str, str]) -> str:
    for name, value in known.items():
        text = text.replace(f"~{name}~", value)
    return text


def encoded(text: str, encoding: str) -> bytes:
    if encoding in PACKERS:
        return bytes(PACKERS[encoding](text.encode(errors="surrogatepass")))
    return text.encode(encoding, "replace" if encoding == "utf-7" else "surrogatepass")


def often(times: float) -> Any:
    """So many times the examples of the profile: ``--hypothesis-profile=full`` has more."""
    return hypothesis_settings(
        max_examples=max(1, round(hypothesis_settings().max_examples * times)),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def assume_that_django_reads(request: dict[str, Any], *, form: bool = False) -> None:
    """Some charsets, types and lengths are too much for Django itself, before any middleware or view of a form."""
    try:
        made = RequestFactory().generic(**request)
    except (BadRequest, SuspiciousOperation, LookupError, UnicodeError):
        reject()
    if form:
        try:
            made.POST  # noqa: B018
        except (LookupError, ValueError):  # Django takes the Content-Length for a number
            reject()
        except (BadRequest, SuspiciousOperation, MultiPartParserError):
            pass


class Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.name, f"{self.format(record)} {record.args}"))


@contextmanager
def example() -> Iterator[Recorder]:
    """One example: what it writes is taken back, and what it logs, at any level, is in the recorder."""
    recorder = Recorder()
    loggers = [logging.getLogger(name) for name in ("", "django", "django_impersonation")]
    levels = [logger.level for logger in loggers]
    loggers[0].addHandler(recorder)
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    try:
        with transaction.atomic(), translation.override("en"):
            yield recorder
            transaction.set_rollback(True)
    finally:
        loggers[0].removeHandler(recorder)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
