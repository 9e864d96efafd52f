"""Whatever comes, at every address: an answer and no server error, and nothing for who has nothing to give.

`pytest --hypothesis-profile=full` tries many more examples, and others each time.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import hmac
import json
import re
import zlib
from http.cookies import SimpleCookie
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from asgiref.sync import async_to_sync
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.test import AsyncClient
from django.urls import Resolver404, resolve
from django.urls.resolvers import RoutePattern
from hypothesis import assume, given
from hypothesis import strategies as st
from jwt.utils import base64url_decode

from django_impersonation.api import tokens
from django_impersonation.api.endpoints import LONGEST_BODY, is_storable
from django_impersonation.api.urls import urlpatterns
from django_impersonation.models import Event, ImpersonationSession
from tests.api.client import CALLBACK, CLIENT_ID, ApiClient, bearer, challenge, code_of
from tests.api.garbage import (
    FORM,
    JSON,
    MARKER,
    SOUND,
    Recorder,
    Sent,
    assume_that_django_reads,
    browsed,
    example,
    filled,
    latin1,
    often,
    sent,
    text,
    urlencoded,
    value,
)
from tests.people import Browser

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("direct"),
    # Python, of bytes that a charset makes no sense of
    pytest.mark.filterwarnings("ignore:.*invalid .*escape sequence:DeprecationWarning"),
]

TOKEN, SIGN_IN, LOGOUT = ("/user_management/" + path for path in ("authenticate", "authorize", "sessions/logout"))
REDIRECTS = [CALLBACK, "https://app.example.com/callback?shop=1", "com.example.app:/callback"]
SIGN_OUTS = ["https://app.example.com/bye", "http://localhost:3000"]
VERIFIER = "v" * 43
# WIRE.md's shapes, by status.
SHAPES = {
    400: {"error", "error_description"},
    401: {"message"},
    403: {"message", "code"},
    404: {"message", "code"},
    405: {"message", "code"},
    422: {"message", "code"},
}


@pytest.fixture
def world(people: Any, sasha: Browser, settings: Any) -> Any:
    """A code that nobody has spent, a session with its tokens, and an impersonation that waits for its client."""
    settings.IMPERSONATION_REDIRECT_URIS = REDIRECTS
    settings.IMPERSONATION_SIGN_OUT_URIS = SIGN_OUTS
    settings.IMPERSONATION_EVENTS_KEY = "events_" + "k" * 40
    settings.IMPERSONATION_CODE_LIFETIME = 600  # the full profile takes its time
    begun = ApiClient().start(sasha, people.bob, organization=people.acme)
    code = sasha.code(people.dave)
    settings.IMPERSONATION_INITIATE_LOGIN_URL = "https://app.example.com/sign-in"
    assert sasha.authorize(people.carol).status_code == 303
    known = {
        "user": str(people.bob.pk),
        "staff": str(people.sasha.pk),
        "organization": str(people.acme.pk),
        "session": ImpersonationSession.objects.get().pk,
        "event": Event.objects.earliest("position").pk,
        "client": CLIENT_ID,
        "callback": CALLBACK,
        "challenge": challenge(VERIFIER),
        "code": code,
        "refresh": begun["refresh_token"],
        "access": begun["access_token"],
        "key": settings.IMPERSONATION_API_KEY,
        "events": settings.IMPERSONATION_EVENTS_KEY,
    }
    secrets = [MARKER, *(known[name] for name in ("code", "refresh", "access", "key", "events"))]
    return SimpleNamespace(known=known, secrets=secrets, people=people, cookies=sasha.cookies, begun=begun)


def client(cookies: Any = None) -> ApiClient:
    """As a server sees it: what crashes is an answer."""
    made = ApiClient(raise_request_exception=False)
    if cookies is not None:
        made.cookies = SimpleCookie({name: morsel.value for name, morsel in cookies.items()})
    return made


def paths(pattern: Any) -> Any:
    """The pattern's addresses, with anything in the place of its parameters."""
    if not isinstance(pattern.pattern, RoutePattern):
        return st.from_regex(pattern.pattern.regex).map(lambda path: f"/{path}")
    good = st.sampled_from(SOUND[:6])
    segment = st.one_of(good, good, good, text.filter(lambda some: MARKER not in some and "~" not in some))
    return segment.map(lambda some: "/" + re.sub("<[^>]+>", lambda _: some, str(pattern.pattern)))


def methods(pattern: Any) -> list[str]:
    names = getattr(getattr(pattern.callback, "cls", None), "__dict__", {"get": None})
    return [name.upper() for name in ("get", "post") if name in names] or ["GET"]


def is_ours(path: str) -> bool:
    try:
        return resolve(path).app_names == ["django_impersonation_api"]
    except Resolver404:
        return False


def leads_to(answer: Any, registered: list[str]) -> bool:
    """Does it lead to one of these addresses, with nothing but a query added?"""
    place = urlsplit(answer["Location"])
    addresses = [urlsplit(url) for url in registered]
    assert (place.scheme, place.netloc, place.path) in [(url.scheme, url.netloc, url.path) for url in addresses]
    assert not place.fragment
    return any(answer["Location"].startswith(url) for url in registered)


def is_sound(answer: Any) -> bool:
    """JSON in one of the shapes that the SDKs read, kept by nobody; or an address that is registered."""
    assert answer.status_code < 500, answer.content
    assert "max-age" in answer["Cache-Control"] if is_jwks(answer) else "no-store" in answer["Cache-Control"]
    if answer.status_code == 302:
        return leads_to(answer, REDIRECTS + SIGN_OUTS)
    assert answer["Content-Type"] == "application/json"
    body = json.loads(answer.content) if answer.content else None
    refused = body == {"error": "invalid_token", "error_description": REFUSED}  # by the middleware
    by_endpoint = hasattr(resolve(answer.wsgi_request.path_info).func, "cls")
    assert "X-Request-ID" in answer or refused or not by_endpoint
    if answer.status_code == 200 or (body is None and answer.wsgi_request.method == "HEAD"):
        return True
    return refused or set(body) == SHAPES[answer.status_code]


REFUSED = "The access token is not valid, or not any more."


def is_jwks(answer: Any) -> bool:
    return answer.status_code == 200 and b'"keys"' in answer.content


def is_silent(log: Recorder, secrets: list[str], *, but: str = "") -> bool:
    return not any(secret in line for name, line in log.lines if name != but for secret in secrets)


def has_tokens(answer: Any) -> bool:
    return b'"access_token"' in answer.content or b'"refresh_token":' in answer.content


@pytest.mark.parametrize("pattern", urlpatterns, ids=lambda pattern: pattern.name or "unknown")
def test_any_request_to_any_endpoint(world: Any, pattern: Any) -> None:
    @given(path=paths(pattern), request=sent(pattern.name, methods(pattern)), staff=st.booleans())
    @often(1)
    def run(path: str, request: Sent, staff: bool) -> None:
        asked = request.to(path, world.known)
        assume_that_django_reads(asked)
        with example() as log:
            answer = client(world.cookies if staff else None).generic(**asked)
            assert answer.status_code < 500
            if is_ours(answer.wsgi_request.path_info):
                assert is_sound(answer)
            body = filled(str(request.body), world.known)
            earned = any(world.known[name] in body for name in ("code", "refresh"))
            assert earned or not has_tokens(answer)
            assert is_silent(log, world.secrets)

    run()


HALF = {"CONTENT_TYPE": "text/plain; charset=unicode_escape"}
SIGN_IN_QUERY = f"client_id={CLIENT_ID}&redirect_uri={CALLBACK}&response_type=code"


@pytest.mark.parametrize(
    ("method", "path", "query", "more", "status"),
    [
        ("GET", "/user_management/users", "a&" * 1001, {}, 400),
        ("GET", SIGN_IN, "a&" * 1001, {}, 400),
        ("GET", LOGOUT, "a&" * 1001, {}, 400),
        ("POST", TOKEN, "", {"data": b"a&" * 1001, "content_type": FORM}, 400),
        ("GET", "/user_management/users", "email=" + "a" * 60_000, {}, 400),
        ("GET", SIGN_IN, f"{SIGN_IN_QUERY}&state=" + "%c3%a9" * 3000, {}, 400),
        ("GET", SIGN_IN, f"{SIGN_IN_QUERY}&state=\\ud800", HALF, 302),
        ("GET", LOGOUT, "session_id=\\ud800", HALF, 302),
        ("GET", "/events", "events=session.created&organization_id=\\ud800", HALF, 200),
        ("GET", "/user_management/users", "email=\x00", {}, 422),
        ("GET", "/user_management/users", "email=\\x00", HALF, 200),
        ("POST", "/user_management/sessions/revoke", "", {"data": '{"session_id": "\\u0000"}'}, 422),
        ("POST", "/user_management/sessions/revoke", "", {"data": '{"session_id": "\\ud800"}'}, 422),
        ("POST", "/user_management/sessions/revoke", "", {"data": '{"session_id": true}'}, 422),
        ("POST", TOKEN, "", {"data": '{"grant_type": NaN}'}, 400),
        ("POST", TOKEN, "", {"data": "[" * 15_000}, 400),
        ("POST", TOKEN, "", {"data": "9" * 15_000}, 400),
        ("GET", "/user_management/users/%00", "", {}, 422),
        ("GET", "/organizations/" + "9" * 30, "", {}, 404),
        ("GET", "/user_management/users", "limit=" + "9" * 5000, {}, 422),
        ("GET", "/user_management/users", "limit=%c2%b2", {}, 422),
        ("GET", "/user_management/users", "order=x", {}, 422),
        ("GET", "/events", "events=session.created&range_start=0001-01-01T00:00:00%2B23:59", {}, 422),
        ("GET", "/events", "events=session.created&range_end=2026-02-30T00:00:00Z", {}, 422),
        ("POST", SIGN_IN, "", {}, 405),
        ("HEAD", LOGOUT, "", {}, 405),
    ],
)
def test_what_a_server_may_stumble_over(
    world: Any, method: str, path: str, query: str, more: dict[str, Any], status: int
) -> None:
    given: dict[str, Any] = {"content_type": JSON, "HTTP_AUTHORIZATION": f"Bearer {world.known['key']}"} | more
    answer = client(world.cookies).generic(method, path, QUERY_STRING=query, **given)
    assert answer.status_code == status
    assert is_sound(answer)


def test_a_state_that_is_too_long_leaves_what_waits(world: Any) -> None:
    browser = client(world.cookies)
    assert browser.get(SIGN_IN, QUERY_STRING=f"{SIGN_IN_QUERY}&state=" + "%c3%a9" * 3000).status_code == 400
    assert code_of(browser.get(SIGN_IN, QUERY_STRING=f"{SIGN_IN_QUERY}&state=" + "~" * 4000))


def code_grant(code: str, known: dict[str, str], **more: str) -> dict[str, str]:
    body = {"grant_type": "authorization_code", "client_id": CLIENT_ID, "client_secret": known["key"], "code": code}
    return body | {"redirect_uri": CALLBACK} | more


@pytest.fixture
def grants(world: Any) -> list[dict[str, Any]]:
    """Three requests for tokens, each of which would get them."""
    asked = {"client_id": CLIENT_ID, "redirect_uri": CALLBACK, "response_type": "code"}
    asked |= {"code_challenge": challenge(VERIFIER), "code_challenge_method": "S256"}
    challenged = code_of(client(world.cookies).get(SIGN_IN, asked))
    refresh = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "client_secret": world.known["key"]}
    refresh |= {"refresh_token": world.known["refresh"]}
    return [
        code_grant(world.known["code"], world.known),
        code_grant(challenged, world.known, code_verifier=VERIFIER),
        refresh | {"organization_id": world.known["organization"]},
    ]


def flaws(sound: str) -> list[Any]:
    """Nearly this text, and what is no text."""
    near = [sound[:-1], sound[1:], sound[::-1], sound + sound, sound.swapcase(), sound.replace("_", "-", 1) + "="]
    near += [sound + char for char in " \n\x00\ud800=,"] + [f" {sound}", f"\ufeff{sound}", "", "\x00", "\ud800"]
    others = [None, True, 0, 1.5, [], {}, [sound], ["x", sound], [sound, sound], {sound: sound}, {"$ne": ""}]
    return [flaw for flaw in near + others if flaw != sound]


def spoilt(sound: str) -> Any:
    changed = st.builds(
        lambda place, char: sound[:place] + char + sound[place + 1 :],
        st.integers(0, len(sound) - 1),
        st.sampled_from("aAbB09-_ \x00\né"),
    )
    return changed | text | value


def is_harmless(name: str, flaw: Any, sound: str, *, form: bool) -> bool:
    """Does it say the same, or leave out what may be left out?"""
    written = flaw[0] if form and isinstance(flaw, list) and len(flaw) == 1 else flaw
    if form and str(written) == sound:
        return True
    return written == sound or (name in ("redirect_uri", "organization_id") and written in (None, "", []))


def is_refused(body: dict[str, Any], *, form: bool) -> bool:
    answer = post(body, form=form)
    return answer.status_code == 400 and is_sound(answer) and not has_tokens(answer)


def post(body: dict[str, Any], *, form: bool) -> Any:
    if form:
        fields = [(name, some) for name, values in body.items() for some in listed(values)]
        data = urlencoded([(name, "" if some is None else str(some)) for name, some in fields])
        return client().generic("POST", TOKEN, data, FORM)
    return client().generic("POST", TOKEN, json.dumps(body), JSON)


def listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]


@pytest.mark.parametrize("form", [False, True], ids=["json", "form"])
@pytest.mark.parametrize("which", [0, 1, 2], ids=["code", "challenge", "refresh"])
def test_each_flaw_of_each_member_is_refused_and_spends_nothing(
    grants: Any, world: Any, which: int, form: bool
) -> None:
    sound = grants[which]
    with example() as log:
        for name, right in sound.items():
            for flaw in flaws(right):
                if not is_harmless(name, flaw, right, form=form):
                    assert is_refused(sound | {name: flaw}, form=form), (name, flaw)
        assert has_tokens(post(sound, form=form))
        assert is_silent(log, [*world.secrets, sound.get("code", MARKER)])


def test_a_request_with_one_flaw_gets_no_token_and_spends_nothing(grants: Any, world: Any) -> None:
    @given(data=st.data(), sound=st.sampled_from(grants), form=st.booleans())
    @often(1)
    def run(data: Any, sound: dict[str, str], form: bool) -> None:
        name = data.draw(st.sampled_from([*sound]))
        flaw = data.draw(spoilt(sound[name]))
        assume(not is_harmless(name, flaw, sound[name], form=form))
        with example() as log:
            assert is_refused(sound | {name: flaw}, form=form)
            assert has_tokens(post(sound, form=form))
            assert is_silent(log, [*world.secrets, sound.get("code", MARKER)])

    run()


def test_members_that_nobody_knows_change_nothing(grants: Any) -> None:
    words = text.filter(is_storable)

    @given(
        sound=st.sampled_from(grants),
        unknown=st.dictionaries(text, value, min_size=1, max_size=3),
        described=st.fixed_dictionaries({}, optional={"ip_address": words, "user_agent": words}),
    )
    @often(0.3)
    def run(sound: dict[str, str], unknown: dict[str, Any], described: dict[str, str]) -> None:
        body = json.dumps(unknown | described | sound)
        assume(len(body) <= LONGEST_BODY and "NaN" not in body and "Infinity" not in body)
        with example():
            answer = client().generic("POST", TOKEN, body, JSON)
            assert answer.status_code == 200
            assert client().get("/api/me/", headers=bearer(answer.json()["access_token"])).status_code == 200

    run()


def said(part: Any) -> bytes:
    """A part of a token."""
    data = part if isinstance(part, bytes) else json.dumps(part).encode(errors="surrogatepass")
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def parts_of(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    header, claims, signature = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
    return json.loads(header), json.loads(claims), signature


def is_same(token: str, original: str) -> bool:
    """Is the same signed, with the same signature? Base64 can be written in several ways."""
    signed, _, signature = token.strip().rpartition(".")
    try:
        read = base64url_decode(signature)
    except ValueError:
        return False
    return signed == original.rpartition(".")[0] and read == parts_of(original)[2]


numbers = st.integers() | st.floats() | st.sampled_from([0, -1, 10**400, 1e308, 2**63, "1", " 1 ", True, None, [], {}])
HEADER = ["alg", "typ", "kid", "crit", "b64", "jku", "jwk", "x5u", "x5c", "cty", "zip", "enc"]
CLAIMS = ["exp", "iat", "nbf", "auth_time", "iss", "sub", "sid", "jti", "act", "client_id", "aud", "org_id"]


def changes(names: list[str], values: Any) -> Any:
    """One change, mostly: the first flaw would hide the second."""
    one = st.builds(lambda name, value: {name: value}, st.sampled_from(names), values)
    return one | one | st.dictionaries(st.sampled_from(names), values, max_size=3)


odd_headers = st.sampled_from(
    [{"alg": alg} for alg in ("none", "None", "HS256", "RS512", "PS256", "ES256", ["RS256"], None)]
    + [{"crit": ["b64"], "b64": False}, {"b64": False}, {"crit": ["exp"]}, {"kid": "é"}, {"typ": "at+jwt"}]
) | changes(HEADER, value)
# Other people's names and sessions, in the place of the right ones.
odd_claims = changes(CLAIMS, st.sampled_from(SOUND)) | changes(
    CLAIMS, numbers | value | st.fixed_dictionaries({"sub": value})
)
ODD_PARTS = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b"1",
    b'"x"',
    b"\xff",
    b"\xef\xbb\xbf{}",
    b"{" * 3000,
    b"[" * 2900,
    b"9" * 2900,
]
ODD_PARTS += [b'{"iss": NaN}', b'{"iss": "ISSUER", "exp": 1e999}', b'{"iss": "ISSUER", "iss": "x"}', b'{"a":' * 500]
ODD_PARTS += [b'{"iss": "ISSUER"} ', b'{"iss": "ISSUER", "x": ' + b"[" * 2000 + b"]" * 2000 + b"}"]


def hs256(signed: bytes) -> bytes:
    public = tokens.signing_keys().signing.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hmac.digest(pem, signed, hashlib.sha256)


def rs256(signed: bytes) -> bytes:
    return tokens.signing_keys().signing.sign(signed, padding.PKCS1v15(), SHA256())


SIGNATURES = [hs256, lambda signed: b"", lambda signed: b"\x00" * 256, lambda signed: b"\xff" * 4000]


def forgeries(token: str) -> Any:
    """Nearly this token, and what has its shape alone."""
    header, claims, signature = parts_of(token)
    issuer = claims["iss"].encode()
    edited = st.builds(
        lambda place, length, char: token[:place] + char + token[place + length :],
        st.integers(0, len(token)),
        st.integers(0, 2),
        st.sampled_from(["", "A", "b", "=", "==", "+", "/", ".", "..", " ", "\n", "é", "\x00", "eyJ9"]),
    )
    odd = st.sampled_from([part.replace(b"ISSUER", issuer) for part in ODD_PARTS]) | st.binary(max_size=20)
    heads = odd_headers.map(lambda some: header | some) | odd
    bodies = odd_claims.map(lambda some: claims | some) | odd
    signed = st.builds(lambda head, body: said(head) + b"." + said(body), heads, bodies)
    sign = st.sampled_from([lambda signed: signature, *SIGNATURES])
    made = st.builds(lambda text, sign: (text + b"." + said(sign(text))).decode(), signed, sign)
    return edited | made | made | latin1


def asks(token: str) -> list[Any]:
    """The answers of a WSGI server and of an ASGI server."""
    headers = {"Authorization": f"Bearer {token}"}
    ask = async_to_sync(AsyncClient(raise_request_exception=False).get)
    return [client().get("/api/me/", headers=headers), ask("/api/me/", headers=headers)]


def test_no_token_but_the_one_that_was_given_names_a_user(world: Any) -> None:
    original = world.known["access"]

    @given(token=forgeries(original))
    @often(0.6)
    def run(token: str) -> None:
        with example() as log:
            for answer in asks(token):
                assert answer.status_code == 401 or (answer.status_code == 200 and is_same(token, original))
                assert answer["Content-Type"] == "application/json"
            who = client().get("/whoami/", headers=bearer(token))
            assert who.status_code == 401 or who.json()["user"] == "AnonymousUser" or is_same(token, original)
            assert is_silent(log, world.secrets)

    run()


def test_what_we_would_sign_ourselves_is_no_server_error(world: Any) -> None:
    """A token of ours that says something else is good for its own user alone, or for nobody."""
    header, claims, _ = parts_of(world.known["access"])

    @given(odd=odd_claims, odd_header=st.just({}) | st.just({}) | st.just({}) | odd_headers)
    @often(0.7)
    def run(odd: dict[str, Any], odd_header: dict[str, Any]) -> None:
        changed = {name: filled(some, world.known) if isinstance(some, str) else some for name, some in odd.items()}
        signed = said(header | odd_header) + b"." + said(claims | changed)
        token = (signed + b"." + said(rs256(signed))).decode()
        bound = ("iss", "sub", "sid", "client_id")
        with example():
            for answer in asks(token):
                assert answer.status_code in (200, 401)
                assert answer.status_code == 401 or answer.json()["user"]["email"] == "bob@example.com"
                assert answer.status_code == 401 or all(changed.get(name) in (None, claims[name]) for name in bound)

    run()


ADDRESSES = REDIRECTS + SIGN_OUTS
near_addresses = st.sampled_from(ADDRESSES) | st.builds(
    "{}{}{}".format,
    st.sampled_from(
        ["", "", " ", "//", "\\\\", "javascript:", "https://evil.example.com/", "https://evil.example.com?"]
    ),
    st.sampled_from([*ADDRESSES, "", "/", "//evil.example.com", "https:evil.example.com"]),
    st.sampled_from(
        ["", "/", "?", "#", "#x", "&x=1", "@evil.example.com", ".evil.example.com", "/../", "%2f", "\r\nX: y"]
    ),
)


def test_a_browser_is_sent_to_registered_addresses_alone(world: Any) -> None:
    asked = {"client_id": CLIENT_ID, "response_type": "code", "session_id": world.known["session"]}
    asked |= {"code_challenge": challenge(VERIFIER), "code_challenge_method": "S256"}

    @given(
        url=near_addresses,
        state=text,
        more=st.lists(st.tuples(st.sampled_from([*asked, "redirect_uri", "return_to", "state"]), text), max_size=1),
        charset=st.sampled_from(["utf-8", "utf-16", "utf-7", "unicode_escape", "latin-1"]),
        staff=st.booleans(),
    )
    @often(1)
    def run(url: str, state: str, more: list[tuple[str, str]], charset: str, staff: bool) -> None:
        query = urlencoded([*asked.items(), ("redirect_uri", url), ("return_to", url), ("state", state), *more])
        query = filled(query, world.known)
        request = {"QUERY_STRING": query, "CONTENT_TYPE": f"text/plain; charset={charset}"}
        for path, registered in ((SIGN_IN, REDIRECTS), (LOGOUT, SIGN_OUTS)):
            assume_that_django_reads({"method": "GET", "path": path, **request})
            with example():
                answer = client(world.cookies if staff else None).generic("GET", path, **request)
                assert answer.status_code in (302, 400, 422)
                assert not {"\r", "\n"} & set(answer.get("Location", ""))
                if answer.status_code == 302:
                    assert leads_to(answer, registered)
                    assert path == LOGOUT or url in registered
                    added = parse_qs(urlsplit(answer["Location"]).query, keep_blank_values=True)
                    assert staff or "code" not in added
                    assert path == LOGOUT or added["state"] == [read(filled(state, world.known))]

    run()


def read(state: str) -> str:
    """As Django reads it: what is no UTF-8 is replaced."""
    return state.encode(errors="surrogatepass").decode(errors="replace")


class Endless:
    """A body of spaces without an end, that counts how much of it is read."""

    def __init__(self) -> None:
        self.taken = 0

    def read(self, size: int = -1) -> bytes:
        assert 0 <= size <= 2**20
        self.taken += size
        return b" " * size

    readline = read


@pytest.mark.parametrize("kind", [JSON, FORM, "text/plain", "multipart/form-data; boundary=x", f"{JSON}; charset=bz2"])
@pytest.mark.parametrize("path", [TOKEN, "/user_management/sessions/revoke", "/user_management/nothing"])
def test_no_more_of_a_body_is_read_than_a_body_has(world: Any, settings: Any, kind: str, path: str) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = None
    body = Endless()
    headers = {"HTTP_AUTHORIZATION": f"Bearer {world.known['key']}", "CONTENT_LENGTH": str(2**40)}
    answer = client().generic("POST", path, CONTENT_TYPE=kind, **headers, **{"wsgi.input": body})
    assert answer.status_code in (400, 404)
    assert is_sound(answer)
    assert body.taken <= LONGEST_BODY + 1


@pytest.mark.parametrize(("packed", "kind"), [(bz2.compress, "bz2"), (zlib.compress, "zlib"), (gzip.compress, "gzip")])
def test_nothing_is_unpacked(grants: Any, packed: Any, kind: str) -> None:
    data = packed(json.dumps(grants[0]).encode())
    for header in ({"CONTENT_TYPE": f"{JSON}; charset={kind}"}, {"CONTENT_TYPE": JSON, "HTTP_CONTENT_ENCODING": kind}):
        answer = client().generic("POST", TOKEN, data, **header)
        assert answer.status_code == 400
        assert is_sound(answer)


@pytest.fixture
def prompted(people: Any, sasha: Browser, settings: Any) -> Any:
    """A code for this site's own callback."""
    settings.IMPERSONATION_CALLBACK_URL = None
    settings.IMPERSONATION_CODE_LIFETIME = 600
    return SimpleNamespace(code=sasha.code(people.dave), cookies=sasha.cookies, url=sasha.prompt_url(people.bob))


BROWSED = {"callback": "/impersonation/callback/", "stop": "/impersonation/stop/", "ended": "/impersonation/ended/"}


@pytest.mark.parametrize("name", [*BROWSED, "prompt"])
def test_any_request_to_what_a_browser_opens(prompted: Any, name: str) -> None:
    asked = {"callback": {"code": "~code~"}, "prompt": {"reason": MARKER, "organization": "x"}}.get(name, {})
    known, secrets = {"code": prompted.code}, [prompted.code, MARKER]

    @given(request=browsed(asked), staff=st.booleans())
    @often(0.5)
    def run(request: Sent, staff: bool) -> None:
        sent = request.to(BROWSED.get(name, prompted.url), known)
        assume_that_django_reads(sent, form=True)
        with example() as log:
            before = ImpersonationSession.objects.count()
            answer = client(prompted.cookies if staff else None).generic(**sent)
            assert answer.status_code < 500
            earned = staff and name == "callback" and known["code"] in sent["QUERY_STRING"]
            assert earned or ImpersonationSession.objects.count() == before
            # Django's own log of what a template lacks has the whole page in it: the prompt shows what was sent.
            assert is_silent(log, secrets, but="django.template" if name == "prompt" else "")

    run()
