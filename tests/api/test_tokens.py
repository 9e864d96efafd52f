"""Access tokens: which are good, who forges them in vain, and that they end with their session."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from asgiref.sync import async_to_sync
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from django.contrib.auth import get_user_model
from django.test import AsyncClient
from django.utils import timezone

from django_impersonation import flows
from django_impersonation.api import tokens
from django_impersonation.api.verification import LONGEST, verify
from django_impersonation.keys import new_signing_key
from django_impersonation.models import Event, ImpersonationSession
from tests.api.client import ApiClient, bearer
from tests.people import Browser, grant
from tests.urls import whoami

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("direct")]

JWKS = "/sso/jwks/client_demo"
ATTACKER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
INVALID = {"error": "invalid_token", "error_description": "The access token is not valid, or not any more."}


@pytest.fixture(scope="module")
def pem() -> str:
    return new_signing_key()


@pytest.fixture
def begun(api: ApiClient, sasha: Browser, people: Any) -> dict[str, Any]:
    answer: dict[str, Any] = api.start(sasha, people.dave)
    return answer


def encoded(data: Any) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=="))


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims, _ = token.split(".")
    return decoded(header), decoded(claims)


def rs256(key: Any) -> Any:
    return lambda text: key.sign(text, padding.PKCS1v15(), SHA256())


def hs256(secret: str | bytes) -> Any:
    key = secret.encode() if isinstance(secret, str) else secret
    return lambda text: hmac.digest(key, text, "sha256")


def made(header: Any, claims: Any, sign: Any) -> str:
    """A token by hand: libraries refuse to make the worst ones."""
    text = f"{encoded(header)}.{encoded(claims)}"
    return f"{text}.{encoded(sign(text.encode()))}"


def ours(claims: dict[str, Any], **header: Any) -> str:
    """A token signed with the site's own key: what is wrong with it is what it says."""
    keys = tokens.signing_keys()
    usual = {"alg": "RS256", "typ": "JWT", "kid": keys.published[0]["kid"]} | header
    return made({name: value for name, value in usual.items() if value != "absent"}, claims, rs256(keys.signing))


def public_pem() -> bytes:
    return (
        tokens.signing_keys()
        .signing.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def is_refused(api: ApiClient, token: str) -> bool:
    """By the middleware, before the view, and by whoever has no database."""
    with pytest.raises(jwt.InvalidTokenError):
        tokens.read(token)
    return is_left_alone(api, token) if is_unreadable(token) else is_refused_by_site(api, token)


def is_refused_by_site(api: ApiClient, token: str) -> bool:
    before = whoami.runs
    for method, path in (("get", "/api/me/"), ("post", "/whoami/")):
        answer = getattr(api, method)(path, headers=bearer(token))
        assert (answer.status_code, answer.json()) == (401, INVALID)
        assert answer["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert answer["Cache-Control"] == "private, no-store"
        assert not answer.cookies
    assert whoami.runs == before
    return True


def is_unreadable(token: str) -> bool:
    """Can nobody tell who issued it?"""
    try:
        jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return True
    return False


def is_left_alone(api: ApiClient, token: str) -> bool:
    assert api.get("/api/me/", headers=bearer(token)).status_code == 401
    who = api.post("/whoami/", headers=bearer(token)).json()
    return bool(who["user"] == "AnonymousUser" and who["impersonation"] is None)


def is_good(api: ApiClient, token: str) -> bool:
    return bool(api.get("/api/me/", headers=bearer(token)).status_code == 200)


def mine(key: Any) -> dict[str, Any]:
    """A public key as JWK."""
    jwk: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return jwk


def own_certificate() -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "django_impersonation")])
    now = timezone.now()
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(ATTACKER.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return base64.b64encode(builder.sign(ATTACKER, SHA256()).public_bytes(serialization.Encoding.DER)).decode()


UNSIGNED = lambda text: b""  # noqa: E731
BY_OTHERS: dict[str, Any] = {
    "none": lambda h, c: made(h | {"alg": "none"}, c, UNSIGNED),
    "None": lambda h, c: made(h | {"alg": "None"}, c, UNSIGNED),
    "NONE with our signature": lambda h, c: made(h | {"alg": "NONE"}, c, rs256(tokens.signing_keys().signing)),
    "no alg": lambda h, c: made({n: v for n, v in h.items() if n != "alg"}, c, UNSIGNED),
    "RS256 without a signature": lambda h, c: made(h, c, UNSIGNED),
    "HS256 with the PEM": lambda h, c: made(h | {"alg": "HS256"}, c, hs256(public_pem())),
    "HS256 with the PEM stripped": lambda h, c: made(h | {"alg": "HS256"}, c, hs256(public_pem().strip())),
    "HS256 with CRLF": lambda h, c: made(h | {"alg": "HS256"}, c, hs256(public_pem().replace(b"\n", b"\r\n"))),
    "HS256 with blanks": lambda h, c: made(h | {"alg": "HS256"}, c, hs256(b" \n" + public_pem() + b"\n ")),
    "HS256 with the JWK": lambda h, c: made(h | {"alg": "HS256"}, c, hs256(json.dumps(tokens.jwks()["keys"][0]))),
    "HS256 with n": lambda h, c: made(h | {"alg": "HS256"}, c, hs256(tokens.jwks()["keys"][0]["n"])),
    "HS256 with the certificate": lambda h, c: made(
        h | {"alg": "HS256"}, c, hs256(base64.b64decode(tokens.jwks()["keys"][0]["x5c"][0]))
    ),
    "HS256 with nothing": lambda h, c: made(h | {"alg": "HS256"}, c, hs256(b"")),
    "RS256 says HS256": lambda h, c: made(h, c, hs256(public_pem())),
    "ES256": lambda h, c: made(h | {"alg": "ES256"}, c, lambda text: CURVE.sign(text, ec.ECDSA(SHA256()))),
    "ES256 says RS256": lambda h, c: made(h, c, lambda text: CURVE.sign(text, ec.ECDSA(SHA256()))),
    "PS256 with our key": lambda h, c: jwt.encode(
        c, tokens.signing_keys().signing, "PS256", headers={"kid": h["kid"]}
    ),
    "RS512 with our key": lambda h, c: jwt.encode(
        c, tokens.signing_keys().signing, "RS512", headers={"kid": h["kid"]}
    ),
    "another key": lambda h, c: made(h, c, rs256(ATTACKER)),
    "jwk": lambda h, c: made(h | {"jwk": mine(ATTACKER)}, c, rs256(ATTACKER)),
    "jwk, its kid": lambda h, c: made(h | {"jwk": mine(ATTACKER), "kid": "mine"}, c, rs256(ATTACKER)),
    "jku": lambda h, c: made(h | {"jku": "https://evil.example.com/jwks"}, c, rs256(ATTACKER)),
    "x5u": lambda h, c: made(h | {"x5u": "https://evil.example.com/x5u"}, c, rs256(ATTACKER)),
    "x5c": lambda h, c: made(h | {"x5c": [own_certificate()]}, c, rs256(ATTACKER)),
    "claims changed": lambda h, c: ours(c).replace(encoded(c), encoded(c | {"sub": "1"})),
    "header changed": lambda h, c: ".".join([encoded(h | {"x": 1}), *ours(c).split(".")[1:]]),
    "signature cut": lambda h, c: ours(c)[:-8],
    "not encoded payload": lambda h, c: ours(c, b64=False),
    "crit": lambda h, c: ours(c, crit=["x"], x=1),
}


# ABUSE 78
@pytest.mark.parametrize("forgery", BY_OTHERS)
def test_a_forged_token_is_refused(api: ApiClient, begun: dict[str, Any], forgery: str) -> None:
    header, claims = parts(begun["access_token"])
    assert is_refused(api, BY_OTHERS[forgery](header, claims))
    assert is_good(api, begun["access_token"])
    assert ImpersonationSession.objects.get().ended_at is None


# ABUSE 78
@pytest.mark.parametrize(
    "kid",
    ["absent", None, "", " ", 0, True, [], {}, ["kid"], "../../dev/null", "/dev/null", "' OR 1=1 --", "\x00", "0"],
)
def test_a_kid_that_is_none_of_ours_is_refused(api: ApiClient, begun: dict[str, Any], kid: Any) -> None:
    assert is_refused(api, ours(parts(begun["access_token"])[1], kid=kid))


# ABUSE 78
def test_a_kid_is_compared_whole(api: ApiClient, begun: dict[str, Any]) -> None:
    header, claims = parts(begun["access_token"])
    for kid in (f" {header['kid']}", f"{header['kid']}=", header["kid"].lower(), header["kid"][:-1], [header["kid"]]):
        assert is_refused(api, ours(claims, kid=kid))


# ABUSE 81, ABUSE 82, ABUSE 85
@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "client_demo"},
        {"aud": ["client_demo"]},
        {"aud": "http://127.0.0.1:8000"},
        {"client_id": "client_other"},
        {"client_id": "client_demo "},
        {"client_id": ""},
        {"client_id": "absent"},
        {"client_id": None},
        {"client_id": ["client_demo"]},
        {"sid": "absent"},
        {"sid": ""},
        {"sid": None},
        {"sid": True},
        {"sid": "session_00000000000000000000000000"},
        {"sid": ["session_00000000000000000000000000"]},
        {"sub": True},
        {"sub": 1},
        {"sub": "1"},
        {"sub": None},
        {"sub": ""},
        {"sub": []},
        {"sub": "absent"},
        {"act": "absent"},
        {"act": None},
        {"act": "sasha@example.com"},
        {"act": {}},
        {"act": {"sub": ""}},
        {"act": {"sub": True}},
        {"act": ["sub"]},
        {"exp": "absent"},
        {"exp": None},
        {"exp": 1},
        {"exp": "soon"},
        {"exp": []},
        {"iat": "absent"},
        {"iat": 4102444800},
        {"nbf": 4102444800},
        {"jti": "absent"},
        {"auth_time": "absent"},
    ],
)
def test_claims_of_another_kind_are_refused_even_with_our_signature(
    api: ApiClient, begun: dict[str, Any], claims: dict[str, Any]
) -> None:
    changed = parts(begun["access_token"])[1] | claims
    assert is_refused_by_site(api, ours({name: value for name, value in changed.items() if value != "absent"}))


def test_a_token_that_says_the_same_is_good(api: ApiClient, begun: dict[str, Any]) -> None:
    """Without this, the forgeries above might fail for another reason."""
    assert is_good(api, ours(parts(begun["access_token"])[1]))


# ABUSE 81
@pytest.mark.parametrize(
    "issuer",
    [
        "http://127.0.0.1:800",
        "http://127.0.0.1:8000/",
        "http://127.0.0.1:80000",
        "HTTP://127.0.0.1:8000",
        "https://127.0.0.1:8000",
        "",
        None,
        ["http://127.0.0.1:8000"],
        {"http://127.0.0.1:8000": 1},
    ],
)
def test_another_issuer_is_not_us(api: ApiClient, begun: dict[str, Any], settings: Any, issuer: Any) -> None:
    token = ours(parts(begun["access_token"])[1] | {"iss": issuer})
    assert api.get("/api/me/", headers=bearer(token)).status_code == 401
    who = api.get("/whoami/", headers=bearer(token))
    assert (who.json()["user"], who.json()["impersonation"]) == ("AnonymousUser", None)
    with pytest.raises(jwt.InvalidTokenError):
        verify(token, tokens.signing_keys(), issuer=settings.IMPERSONATION_JWT_ISSUER, client_id="client_demo")


def test_a_site_without_an_issuer_takes_no_token(api: ApiClient, begun: dict[str, Any], settings: Any) -> None:
    settings.IMPERSONATION_JWT_ISSUER = ""
    token = ours(parts(begun["access_token"])[1] | {"iss": ""})
    assert api.get("/whoami/", headers=bearer(token)).json()["user"] == "AnonymousUser"


# ABUSE 82
@pytest.mark.parametrize("typ", ["absent", "at+jwt", "ID", "id_token", "refresh", "jwt", "", None, 1, ["JWT"]])
def test_another_type_is_refused(api: ApiClient, begun: dict[str, Any], typ: Any) -> None:
    assert is_refused(api, ours(parts(begun["access_token"])[1], typ=typ))


# ABUSE 85
def test_the_session_of_another_user_is_refused(
    api: ApiClient, sasha: Browser, people: Any, begun: dict[str, Any]
) -> None:
    other = api.start(sasha, people.carol, organization=people.acme)
    dave, carol = parts(begun["access_token"])[1], parts(other["access_token"])[1]
    assert is_refused_by_site(api, ours(dave | {"sid": carol["sid"]}))
    assert is_refused_by_site(api, ours(dave | {"sub": carol["sub"]}))
    assert is_refused_by_site(api, ours(dave | {"sub": str(people.sasha.pk)}))
    assert is_good(api, begun["access_token"])
    assert ImpersonationSession.objects.live().count() == 2


# ABUSE 85
def test_the_session_of_a_browser_has_no_token(api: ApiClient, sasha: Browser, people: Any, settings: Any) -> None:
    begun = api.start(sasha, people.dave)
    settings.IMPERSONATION_CALLBACK_URL = None
    session = sasha.start(people.dave)
    claims = parts(begun["access_token"])[1] | {"sid": session.pk}
    assert is_refused_by_site(api, ours(claims))
    assert is_refused_by_site(api, ours(claims | {"client_id": ""}))
    settings.IMPERSONATION_CLIENT_ID = ""
    assert is_refused_by_site(api, ours(claims | {"client_id": ""}))
    assert sasha.who()["user"] == "dave@example.com"


# ABUSE 81
def test_the_session_of_another_client_has_no_token(api: ApiClient, begun: dict[str, Any], settings: Any) -> None:
    settings.IMPERSONATION_CLIENT_ID = "client_other"
    assert is_refused(api, begun["access_token"])
    assert is_refused_by_site(api, ours(parts(begun["access_token"])[1] | {"client_id": "client_other"}))
    assert ImpersonationSession.objects.get().ended_at is None


def test_act_is_for_display_only(api: ApiClient, begun: dict[str, Any]) -> None:
    token = ours(parts(begun["access_token"])[1] | {"act": {"sub": "admin@example.com"}})
    me = api.get("/api/me/", headers=bearer(token)).json()
    assert me["impersonator"] == {"email": "sasha@example.com", "reason": "Ticket 4711"}


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer a.b.c",
        "Bearer ...",
        "Bearer " + "." * 5000,
        "Bearer é.é.é",
        "Basic YTpi",
        "Token abc",
        "Bearer " + "a" * 100_000,
    ],
)
def test_what_is_no_token_of_ours_is_left_alone(
    api: ApiClient, people: Any, header: str, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        answer = api.get("/static-page/", headers={"Authorization": header})
    assert answer.json() == {"static": True}
    carol = Browser(people.carol)
    assert carol.get("/whoami/", headers={"Authorization": header}).json()["user"] == "carol@example.com"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"1" * 2000,
        b"[" * 2000,
        b'{"iss":' * 300,
        b"\xff\xfe",
        b'{"iss": "https://idp.example.com", "sub": "1"}',
        b'{"iss": NaN}',
    ],
)
def test_a_malformed_or_foreign_token_is_left_alone(api: ApiClient, people: Any, payload: bytes) -> None:
    token = f"{encoded({'alg': 'RS256', 'typ': 'JWT'})}.{encoded(payload)}.{encoded(b'x' * 256)}"
    assert api.get("/whoami/", headers=bearer(token)).json()["user"] == "AnonymousUser"
    assert api.get("/api/me/", headers=bearer(token)).status_code == 401
    assert Browser(people.carol).get("/whoami/", headers=bearer(token)).json()["user"] == "carol@example.com"


def test_a_huge_token_is_not_even_looked_at(api: ApiClient, begun: dict[str, Any], settings: Any) -> None:
    claims = parts(begun["access_token"])[1]
    token = ours(claims | {"x": "x" * LONGEST})
    assert api.get("/whoami/", headers=bearer(token)).json()["user"] == "AnonymousUser"
    assert api.get("/api/me/", headers=bearer(token)).status_code == 401
    with pytest.raises(jwt.InvalidTokenError):
        tokens.read(token)
    assert is_good(api, ours(claims | {"x": "x" * 2000}))


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_the_scheme_is_read_as_the_rfc_has_it(api: ApiClient, begun: dict[str, Any], scheme: str) -> None:
    header = {"Authorization": f"{scheme} {begun['access_token']} "}
    assert api.get("/api/me/", headers=header).status_code == 200


def test_a_token_counts_in_the_header_alone(api: ApiClient, begun: dict[str, Any]) -> None:
    token = begun["access_token"]
    assert api.get(f"/api/me/?access_token={token}").status_code == 401
    assert api.post("/whoami/", {"access_token": token}).json()["user"] == "AnonymousUser"
    api.cookies["access_token"] = token
    assert api.get("/api/me/").status_code == 401


def change(person: Any, **fields: Any) -> None:
    type(person).objects.filter(pk=person.pk).update(**fields)


def change_password(person: Any) -> None:
    person.set_password("another")
    person.save()


def expire(session: ImpersonationSession) -> None:
    ImpersonationSession.objects.filter(pk=session.pk)._amend(expires_at=timezone.now())


def revoke(session: ImpersonationSession) -> None:
    answer = ApiClient().with_key(
        "post", "/user_management/sessions/revoke", data={"session_id": session.pk}, content_type="application/json"
    )
    assert answer.json()["status"] == "revoked"


def log_out(session: ImpersonationSession) -> None:
    assert ApiClient().get("/user_management/sessions/logout", {"session_id": session.pk}).status_code == 302


ENDS: dict[str, tuple[Any, str]] = {
    "stopped": (lambda s, p: s.end("stopped"), "stopped"),
    "revoked over the API": (lambda s, p: revoke(s), "revoked"),
    "revoked with all": (lambda s, p: flows.revoke(ImpersonationSession.objects.all()), "revoked"),
    "logged out": (lambda s, p: log_out(s), "signed_out"),
    "impersonator deactivated": (lambda s, p: change(p.admin, is_active=False), "impersonator_changed"),
    "impersonator no longer staff": (lambda s, p: change(p.admin, is_staff=False), "impersonator_changed"),
    "impersonator no longer superuser": (lambda s, p: change(p.admin, is_superuser=False), "impersonator_changed"),
    "impersonator's password changed": (lambda s, p: change_password(p.admin), "impersonator_changed"),
    "impersonator deleted": (lambda s, p: p.admin.delete(), "impersonator_changed"),
    "user deactivated": (lambda s, p: change(p.dave, is_active=False), "user_changed"),
    "user made staff": (lambda s, p: change(p.dave, is_staff=True), "user_changed"),
    "user made superuser": (lambda s, p: change(p.dave, is_superuser=True), "user_changed"),
    "user's password changed": (lambda s, p: change_password(p.dave), "user_changed"),
    "user deleted": (lambda s, p: p.dave.delete(), "user_changed"),
    "switched off": (lambda s, p: flows.switch(False), "disabled"),
    "time": (lambda s, p: expire(s), "expired"),
}


def asked(mode: str, token: str, method: str = "get", path: str = "/api/me/") -> Any:
    if mode == "sync":
        return getattr(ApiClient(), method)(path, headers=bearer(token))
    return async_to_sync(getattr(AsyncClient(), method))(path, headers=bearer(token))


# ABUSE 83, ABUSE 201
@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("how", ENDS)
def test_every_end_of_the_session_is_the_end_of_its_tokens(
    api: ApiClient, people: Any, settings: Any, how: str, mode: str
) -> None:
    settings.IMPERSONATION_ENABLED = None
    flows.switch(True)
    grant(people.admin, "impersonate_user")
    token = api.start(Browser(people.admin), people.dave)["access_token"]
    session = ImpersonationSession.objects.get()
    assert asked(mode, token).status_code == 200

    happen, reason = ENDS[how]
    happen(session, people)

    runs = whoami.runs
    for method, path in (("get", "/api/me/"), ("post", "/whoami/"), ("get", "/api/me/")):
        answer = asked(mode, token, method, path)
        assert (answer.status_code, answer.json()) == (401, INVALID)
        assert answer["Cache-Control"] == "private, no-store"
    assert whoami.runs == runs
    session.refresh_from_db()
    assert session.end_reason == reason
    name = Event.Name.EXPIRED if reason == "expired" else Event.Name.SESSION_REVOKED
    found = Event.objects.exclude(session=None).exclude(name=Event.Name.SESSION_CREATED)
    assert list(found.values_list("name", "code")) == [(name, reason)]


# ABUSE 83, ABUSE 106
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_permission_that_is_taken_takes_the_tokens_along(
    api: ApiClient, sasha: Browser, people: Any, begun: dict[str, Any], mode: str
) -> None:
    people.sasha.user_permissions.clear()
    assert [asked(mode, begun["access_token"]).status_code for _ in range(2)] == [401, 401]
    assert Event.objects.get(name=Event.Name.SESSION_REVOKED).code == "impersonator_changed"


# ABUSE 201
def test_a_deployment_that_is_switched_off_takes_no_token(
    api: ApiClient, begun: dict[str, Any], settings: Any
) -> None:
    settings.IMPERSONATION_ENABLED = False
    assert is_refused_by_site(api, begun["access_token"])
    assert is_refused_by_site(api, begun["access_token"])
    assert Event.objects.get(name=Event.Name.SESSION_REVOKED).code == "disabled"


# ABUSE 84
def test_a_token_expires_by_itself_and_its_session_goes_on(
    monkeypatch: pytest.MonkeyPatch, api: ApiClient, sasha: Browser, people: Any
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tokens, "time", SimpleNamespace(time=lambda: time.time() - 301))
        begun = api.start(sasha, people.dave)
    assert is_refused(api, begun["access_token"])
    assert ImpersonationSession.objects.get().ended_at is None
    assert is_good(api, api.refresh(begun["refresh_token"]).json()["access_token"])


# ABUSE 89
def test_who_takes_over_the_name_and_the_key_of_a_user_is_not_the_user(
    api: ApiClient, people: Any, begun: dict[str, Any]
) -> None:
    pk, password = people.dave.pk, people.dave.password
    people.dave.delete()
    new = get_user_model().objects.create(pk=pk, email="dave@example.com", password=password)
    assert is_refused_by_site(api, begun["access_token"])
    assert api.refresh(begun["refresh_token"]).status_code == 400
    assert str(new.pk) == parts(begun["access_token"])[1]["sub"]


# ABUSE 89
def test_who_takes_over_the_key_of_an_impersonator_holds_no_session(
    api: ApiClient, people: Any, begun: dict[str, Any]
) -> None:
    fields = {"pk": people.sasha.pk, "password": people.sasha.password, "email": "sasha@example.com"}
    people.sasha.delete()
    grant(get_user_model().objects.create(**fields, is_staff=True), "impersonate_user")
    assert is_refused_by_site(api, begun["access_token"])


def keys(api: ApiClient) -> list[dict[str, Any]]:
    answer = api.get(JWKS)
    assert answer.status_code == 200
    assert set(answer.json()) == {"keys"}
    found: list[dict[str, Any]] = answer.json()["keys"]
    return found


# ABUSE 91
def test_a_key_is_rotated_without_a_break(
    api: ApiClient, sasha: Browser, people: Any, settings: Any, pem: str
) -> None:
    old = settings.IMPERSONATION_JWT_SIGNING_KEY
    begun = api.start(sasha, people.dave)
    first = begun["access_token"]
    (published,) = keys(api)
    kid = published["kid"]
    assert parts(first)[0]["kid"] == kid

    settings.IMPERSONATION_JWT_SIGNING_KEY = [old, pem]
    assert keys(api)[0]["kid"] == kid
    assert len({key["kid"] for key in keys(api)}) == 2
    begun = api.refresh(begun["refresh_token"]).json()
    assert parts(begun["access_token"])[0]["kid"] == kid  # published before it signs
    assert is_good(api, first)

    settings.IMPERSONATION_JWT_SIGNING_KEY = f"{pem}\n{old}"
    new = keys(api)[0]["kid"]
    begun = api.refresh(begun["refresh_token"]).json()
    assert new != kid
    assert parts(begun["access_token"])[0]["kid"] == new
    assert is_good(api, first)
    assert is_good(api, begun["access_token"])

    settings.IMPERSONATION_JWT_SIGNING_KEY = pem
    assert [key["kid"] for key in keys(api)] == [new]
    assert is_refused(api, first)
    assert is_good(api, begun["access_token"])
    assert api.refresh(begun["refresh_token"]).status_code == 200


# ABUSE 91
def test_a_key_is_not_taken_for_another(api: ApiClient, begun: dict[str, Any], settings: Any, pem: str) -> None:
    header, claims = parts(begun["access_token"])
    old = tokens.signing_keys().signing
    settings.IMPERSONATION_JWT_SIGNING_KEY = [pem, settings.IMPERSONATION_JWT_SIGNING_KEY]
    assert is_refused(api, made(header | {"kid": keys(api)[0]["kid"]}, claims, rs256(old)))


# ABUSE 91
def test_what_is_published_is_public(api: ApiClient, settings: Any, pem: str) -> None:
    settings.IMPERSONATION_JWT_SIGNING_KEY = [settings.IMPERSONATION_JWT_SIGNING_KEY, pem]
    numbers = [tokens.load_private_key(text).private_numbers() for text in tokens.conf.IMPERSONATION_JWT_SIGNING_KEY]
    text = api.get(JWKS).content.decode()
    for key, private in zip(keys(api), numbers, strict=True):
        assert set(key) == {"alg", "kty", "use", "kid", "n", "e", "x5c", "x5t#S256"}
        assert (key["alg"], key["kty"], key["use"]) == ("RS256", "RSA", "sig")
        for number in (private.d, private.p, private.q, private.dmp1, private.dmq1, private.iqmp):
            assert encoded(number.to_bytes((number.bit_length() + 7) // 8)) not in text
        assert int.from_bytes(base64.urlsafe_b64decode(key["n"] + "==")) == private.public_numbers.n
        # RFC 7638 section 3.1, by hand.
        canonical = '{"e":"%s","kty":"RSA","n":"%s"}' % (key["e"], key["n"])  # noqa: UP031
        assert key["kid"] == encoded(hashlib.sha256(canonical.encode()).digest())
        der = base64.b64decode(key["x5c"][0], validate=True)
        assert key["x5t#S256"] == encoded(hashlib.sha256(der).digest())
        certificate = x509.load_der_x509_certificate(der)
        assert certificate.public_key().public_numbers() == private.public_numbers
        certificate.verify_directly_issued_by(certificate)
        assert certificate.not_valid_before_utc < timezone.now() < certificate.not_valid_after_utc
    assert api.get(JWKS)["Cache-Control"] == "public, max-age=300"


# ABUSE 91
def test_every_server_publishes_the_same(settings: Any) -> None:
    pems = tokens.conf.IMPERSONATION_JWT_SIGNING_KEY
    assert tokens.SigningKeys(pems).published == tokens.SigningKeys(pems).published
    assert tokens.signing_keys() is tokens.signing_keys()


def test_the_claims_are_those_of_the_wire_format(
    api: ApiClient, sasha: Browser, people: Any, begun: dict[str, Any]
) -> None:
    header, claims = parts(begun["access_token"])
    session = ImpersonationSession.objects.get()
    assert set(header) == {"alg", "typ", "kid"}
    assert (header["alg"], header["typ"]) == ("RS256", "JWT")
    assert set(claims) == {"iss", "sub", "sid", "jti", "act", "auth_time", "client_id", "iat", "exp"}
    assert (claims["sub"], claims["sid"]) == (str(people.dave.pk), session.pk)
    assert (claims["act"], claims["client_id"]) == ({"sub": "sasha@example.com"}, "client_demo")
    assert claims["iat"] <= time.time() < claims["exp"]
    assert claims["auth_time"] == int(session.created_at.timestamp())
    assert all(type(claims[name]) is int for name in ("iat", "exp", "auth_time"))
    assert "Ticket" not in json.dumps(claims)
    bob = parts(api.start(sasha, people.bob, organization=people.acme)["access_token"])[1]
    assert bob["org_id"] == str(people.acme.pk)


class Stub(jwt.PyJWKClient):
    """PyJWT's own client, with what it would fetch."""

    def __init__(self, answer: Any) -> None:
        super().__init__("https://shop.example.com/sso/jwks/client_demo", cache_jwk_set=False)
        self.answer = answer

    def fetch_data(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def checked(token: str, keys: Any, **changes: Any) -> Any:
    return verify(token, keys, **{"issuer": "http://127.0.0.1:8000", "client_id": "client_demo"} | changes)


def test_a_service_without_our_database_verifies_a_token(
    api: ApiClient, sasha: Browser, people: Any, begun: dict[str, Any]
) -> None:
    source = Stub(api.get(JWKS).json())
    token = checked(begun["access_token"], source)
    assert (token.user_id, token.organization_id) == (str(people.dave.pk), None)
    assert token.session_id == ImpersonationSession.objects.get().pk
    assert tuple(token.impersonator) == ("sasha@example.com", "")
    assert token.claims == parts(begun["access_token"])[1]
    other = api.start(sasha, people.bob, organization=people.acme)
    assert checked(other["access_token"], source).organization_id == str(people.acme.pk)


# ABUSE 78
@pytest.mark.parametrize("forgery", BY_OTHERS)
def test_a_service_without_our_database_takes_no_forgery(api: ApiClient, begun: dict[str, Any], forgery: str) -> None:
    with pytest.raises(jwt.InvalidTokenError):
        checked(BY_OTHERS[forgery](*parts(begun["access_token"])), Stub(api.get(JWKS).json()))


# ABUSE 81
@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "http://127.0.0.1:80000"},
        {"issuer": "http://127.0.0.1:8000/"},
        {"issuer": "http://127.0.0.1"},
        {"issuer": ""},
        {"client_id": "client_other"},
        {"client_id": ""},
    ],
)
def test_a_service_says_whom_it_believes(api: ApiClient, begun: dict[str, Any], changes: Any) -> None:
    with pytest.raises(jwt.InvalidTokenError):
        checked(begun["access_token"], Stub(api.get(JWKS).json()), **changes)


@pytest.mark.parametrize("text", ["", "a", "a.b.c", "." * 10, "é.é.é", "x" * 5000, "e30.e30.", "e30.W10.e30"])
def test_what_is_no_token_is_an_invalid_token(api: ApiClient, text: str) -> None:
    with pytest.raises(jwt.InvalidTokenError):
        checked(text, Stub(api.get(JWKS).json()))


@pytest.mark.parametrize("answer", [{}, {"keys": []}, {"keys": [{"kty": "RSA"}]}, [], "text", None])
def test_keys_that_are_none_verify_nothing(begun: dict[str, Any], answer: Any) -> None:
    with pytest.raises(jwt.PyJWTError):
        checked(begun["access_token"], Stub(answer))


def test_keys_that_cannot_be_had_are_no_flaw_of_the_token(begun: dict[str, Any]) -> None:
    with pytest.raises(jwt.PyJWKClientConnectionError):
        checked(begun["access_token"], Stub(jwt.PyJWKClientConnectionError("no route")))


def test_clocks_may_differ_by_as_much_as_the_service_says(
    monkeypatch: pytest.MonkeyPatch, api: ApiClient, sasha: Browser, people: Any
) -> None:
    source = Stub(api.get(JWKS).json())
    for seconds in (-310, 20):
        with monkeypatch.context() as patch:
            patch.setattr(tokens, "time", SimpleNamespace(time=lambda s=seconds: time.time() + s))
            token = api.start(sasha, people.dave)["access_token"]
        with pytest.raises(jwt.InvalidTokenError):
            checked(token, source)
        assert checked(token, source, leeway=30).user_id == str(people.dave.pk)


@pytest.mark.django_db(transaction=True)
def test_pyjwts_own_client_reads_our_keys(
    api: ApiClient, sasha: Browser, people: Any, live_server: Any, settings: Any, pem: str
) -> None:
    source = jwt.PyJWKClient(f"{live_server.url}{JWKS}")
    begun = api.start(sasha, people.dave)
    assert checked(begun["access_token"], source).user_id == str(people.dave.pk)
    settings.IMPERSONATION_JWT_SIGNING_KEY = [pem, settings.IMPERSONATION_JWT_SIGNING_KEY]
    rotated = api.refresh(begun["refresh_token"]).json()
    source = jwt.PyJWKClient(f"{live_server.url}{JWKS}")
    assert checked(rotated["access_token"], source).user_id == str(people.dave.pk)
    assert checked(begun["access_token"], source).user_id == str(people.dave.pk)
    with pytest.raises(jwt.PyJWKClientConnectionError):
        checked(begun["access_token"], jwt.PyJWKClient(f"{live_server.url}/sso/jwks/client_other"))


def test_a_service_needs_neither_django_nor_settings(begun: dict[str, Any], api: ApiClient) -> None:
    program = """
import json, sys

class NoDjango:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("django", "rest_framework"):
            raise ImportError(name)

sys.meta_path.insert(0, NoDjango())
import jwt
from django_impersonation.api.verification import verify
token, jwks = json.load(sys.stdin)
client = jwt.PyJWKClient("https://shop.example.com")
client.fetch_data = lambda: jwks
read = verify(token, client, issuer="http://127.0.0.1:8000", client_id="client_demo")
assert "django" not in sys.modules
sys.stdout.write(read.impersonator.email)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps([begun["access_token"], api.get(JWKS).json()]),
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "sasha@example.com"), done.stderr
