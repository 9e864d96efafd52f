"""Bytes as they come over the wire, which no client library would send."""

from __future__ import annotations

import gzip
import json
import logging
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application

from django_impersonation.models import AuthorizationCode
from tests.api.client import CALLBACK, CLIENT_ID
from tests.people import Browser

pytestmark = pytest.mark.usefixtures("direct")

TOKEN, SIGN_IN = "/user_management/authenticate", "/user_management/authorize"
STATUS = re.compile(rb"^HTTP/1\.[01] (\d{3}) ", re.MULTILINE)
INJECTED = "%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a<p>"


@pytest.fixture
def unlogged() -> Iterator[None]:
    """Django 5.2.0 logs a path as it came, and pytest-xdist cannot hand on half a character."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def code(sasha: Browser, people: Any) -> str:
    return sasha.code(people.dave)


def body_of(code: str, key: str, **more: str) -> bytes:
    grant = {"grant_type": "authorization_code", "client_id": CLIENT_ID, "client_secret": key, "code": code}
    return json.dumps(grant | more).encode()


def request(*headers: str, first: str = f"POST {TOKEN} HTTP/1.1", body: bytes = b"") -> bytes:
    lines = [first, "Host: localhost", "Connection: close", "Content-Type: application/json", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    return request(*headers, first=f"{method} {path} HTTP/1.1")


def malformed(body: bytes, key: str) -> dict[str, bytes]:
    """Requests of which none is worth a token."""
    size, bearer = len(body), f"Authorization: Bearer {key}"
    users = "/user_management/users"
    sign_in = f"{SIGN_IN}?client_id={CLIENT_ID}&redirect_uri={CALLBACK}&response_type=code&state={INJECTED}"
    return {
        "no length": request(body=body),
        "a length that is no number": request("Content-Length: x", body=body),
        "a negative length": request("Content-Length: -1", body=body),
        "a length that is empty": request("Content-Length:", body=body),
        "a length with a fraction": request(f"Content-Length: {size}.0", body=body),
        "two lengths": request("Content-Length: 5", f"Content-Length: {size}", body=body),
        "a list of lengths": request(f"Content-Length: {size}, {size}", body=body),
        "too short a length": request(f"Content-Length: {size - 1}", body=body),
        "too long a length": request(f"Content-Length: {size + 1}", body=body[:-1]),
        "a length of a megabyte": request("Content-Length: 1000000", body=body[:-1]),
        "a length of five thousand digits": request("Content-Length: " + "9" * 5000, body=body),
        "a length with an underscore": request(f"Content_Length: {size}", body=body),
        "chunks": request("Transfer-Encoding: chunked", body=b"%x\r\n%s\r\n0\r\n\r\n" % (size, body)),
        "chunks and a length": request(
            "Transfer-Encoding: chunked", "Content-Length: 4", body=b"%x\r\n%s\r\n0\r\n\r\n" % (size, body)
        ),
        "packed": request(
            "Content-Encoding: gzip", f"Content-Length: {len(gzip.compress(body))}", body=gzip.compress(body)
        ),
        "a body behind GET": get(TOKEN, f"Content-Length: {size}") + body,
        "another method in a header": get(TOKEN, "X-HTTP-Method-Override: POST", f"Content-Length: {size}") + body,
        "no such method": get(TOKEN, method="\xc3\xa9" * 20),
        "the whole address": request(
            f"Content-Length: {size}", first=f"POST http://localhost{TOKEN} HTTP/1.1", body=body
        ),
        "another host's address": get(f"http://evil.example.com{users}", bearer),
        "two slashes": get(f"//evil.example.com{users}", bearer),
        "an asterisk": get("*", method="OPTIONS"),
        "NUL in the path": get(f"{users}/%00", bearer),
        "half a character in the path": get(f"{users}/%ed%a0%80", bearer),
        "bytes in the path": get(f"{users}/\xff\xfe", bearer),
        "a header in the path": get(f"{users}/x{INJECTED}", bearer),
        "a header in the state": get(sign_in),
        "bytes in the query": get(f"{users}?email=\xff\xfe&limit=\xb2", bearer),
        "a long query": get(f"{users}?email=" + "a" * 60_000, bearer),
        "a long header": get(users, f"Authorization: Bearer {'x' * 60_000}"),
        "bytes in the key": get(users, "Authorization: Bearer \xff\xfe\xed\xa0\x80"),
        "two keys": get(users, "Authorization: Bearer x", bearer),
        "a key on two lines": get(users, "Authorization: Bearer", f" {key[:9]}", f" {key[9:]}"),
        "a key with NUL": get(users, f"{bearer}\x00"),
        "no version": f"GET {users}\r\n".encode(),
        "an old version": f"GET {users} HTTP/1.0\r\n{bearer}\r\n\r\n".encode(),
        "no host": f"GET {users} HTTP/1.1\r\n{bearer}\r\nConnection: close\r\n\r\n".encode(),
        "another host": get(users, bearer).replace(b"Host: localhost", b"Host: evil.example.com"),
        "a cookie of bytes": get(sign_in, "Cookie: sessionid=\xff; impersonation=\x01; =;"),
        "a charset that unpacks": get(f"{users}", bearer).replace(b"json", b"json; charset=bz2"),
    }


def answered(address: tuple[str, int], sent: bytes) -> bytes:
    """What the server says until it hangs up."""
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.mark.django_db(transaction=True)
def test_what_is_malformed_is_no_server_error_and_spends_no_code(live_server: Any, settings: Any, code: str) -> None:
    address = (live_server.thread.host, live_server.thread.port)
    body = body_of(code, settings.IMPERSONATION_API_KEY)
    for name, sent in malformed(body, settings.IMPERSONATION_API_KEY).items():
        answer = answered(address, sent)
        statuses = [int(status) for status in STATUS.findall(answer)]
        assert max(statuses, default=400) < 500, (name, answer)
        assert b"access_token" not in answer, name
        assert b"\r\nSet-Cookie: a=b" not in answer, name
        assert not AuthorizationCode.objects.exclude(used_at=None).exists(), name
    answer = answered(address, request(f"Content-Length: {len(body)}", body=body))
    assert STATUS.findall(answer) == [b"200"]
    assert b"access_token" in answer


def asked(scope: dict[str, Any], *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """What an ASGI server is told to send."""

    async def ask() -> list[dict[str, Any]]:
        base = {"type": "http", "http_version": "1.1", "method": "POST", "path": TOKEN, "query_string": b""}
        call = ApplicationCommunicator(get_asgi_application(), base | scope)
        for message in messages:
            await call.send_input({"type": "http.request"} | message)
        told = [await call.receive_output(timeout=30)]
        while told[-1].get("more_body", True):
            told.append(await call.receive_output(timeout=30))
        await call.wait(timeout=30)
        return told

    return async_to_sync(ask)()


HEADERS = [(b"host", b"localhost"), (b"content-type", b"application/json")]


@pytest.mark.django_db(transaction=True)
def test_an_asgi_server_may_pass_on_anything(settings: Any, code: str, unlogged: None) -> None:
    key = settings.IMPERSONATION_API_KEY.encode()
    body, bearer = body_of(code, key.decode()), (b"authorization", b"Bearer " + key)
    users = {"method": "GET", "path": "/user_management/users"}
    whole = {"body": body}
    cases: dict[str, tuple[dict[str, Any], *tuple[dict[str, Any], ...]]] = {
        "no length": ({"headers": HEADERS}, whole),
        "a wrong length": ({"headers": [*HEADERS, (b"content-length", b"x")]}, whole),
        "too short a body": ({"headers": [*HEADERS, (b"content-length", b"900")]}, {"body": body[:-1]}),
        "two lengths": ({"headers": [*HEADERS, (b"content-length", b"5"), (b"content-length", b"6")]}, whole),
        "bytes in the key": ({**users, "headers": [*HEADERS, (b"authorization", b"Bearer \xff\xed\xa0\x80")]}, {}),
        "two keys": ({**users, "headers": [*HEADERS, bearer, (b"authorization", b"Bearer x")]}, {}),
        "a key of words": ({**users, "headers": [*HEADERS, (b"authorization", b"Bearer " + b"x " * 50_000)]}, {}),
        "bytes in the query": ({**users, "query_string": b"email=\xff&limit=\xb2", "headers": [*HEADERS, bearer]}, {}),
        "a path of half characters": ({**users, "path": f"{users['path']}/\udcff", "headers": [*HEADERS, bearer]}, {}),
        "NUL in the path": ({**users, "path": f"{users['path']}/\x00", "headers": [*HEADERS, bearer]}, {}),
        "no headers": ({**users, "headers": []}, {}),
    }
    for name, (scope, *messages) in cases.items():
        start, *rest = asked(scope, *messages)
        assert start["status"] < 500, (name, rest)
        assert b"access_token" not in b"".join(message["body"] for message in rest), name
    good = {"headers": [*HEADERS, (b"content-length", str(len(body)).encode())]}
    start, *rest = asked(good, {"body": body[:50], "more_body": True}, {"body": body[50:]})
    assert start["status"] == 200
    assert b"access_token" in rest[0]["body"]
