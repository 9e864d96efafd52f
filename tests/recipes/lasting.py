"""Every package that makes what signs a user in, in one project, which is no recipe.

An impersonator makes none of it, by whichever call of the package; the user does.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.apps import apps
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from rest_framework_simplejwt.tokens import RefreshToken

from django_impersonation.lasting import DEFAULT_MODELS, rules
from tests.projects.stories import start, stop
from tests.projects.urls import urlpatterns as base
from tests.projects.visitor import Visitor, make


def create(label: str, **fields: Any) -> Callable[[Any], Any]:
    def make(user: Any) -> Any:
        owner = {"user": user} if any(f.name == "user" for f in apps.get_model(label)._meta.fields) else {}
        return apps.get_model(label)._default_manager.create(**owner, **fields)

    return make


def jwt(user: Any) -> Any:
    return RefreshToken.for_user(user)


def recovery_codes(user: Any) -> Any:
    return RecoveryCodes.activate(user)


def static_token(user: Any) -> Any:
    return create("otp_static.StaticToken", token="1", device_id=1)(user)


def social_token(user: Any) -> Any:
    return create("socialaccount.SocialToken", token="1", account_id=1)(user)


def oauth(label: str, **fields: Any) -> Callable[[Any], Any]:
    return create(f"oauth2_provider.{label}", **fields)


LATER = {"expires": timezone.now() + timedelta(days=1)}
MADE: dict[str, Callable[[Any], Any]] = {
    "authtoken.Token": create("authtoken.Token"),
    "token_blacklist.OutstandingToken": jwt,
    "knox.AuthToken": create("knox.AuthToken"),
    "oauth2_provider.Application": oauth("Application", client_type="public", authorization_grant_type="implicit"),
    "oauth2_provider.Grant": oauth("Grant", code="1", application_id=1, redirect_uri="x", **LATER),
    "oauth2_provider.AccessToken": oauth("AccessToken", token="1", **LATER),
    "oauth2_provider.RefreshToken": oauth("RefreshToken", token="1", application_id=1),
    "oauth2_provider.IDToken": oauth("IDToken", **LATER),
    "oauth2_provider.DeviceGrant": oauth("DeviceGrant", device_code="1", user_code="1", client_id="1", **LATER),
    "account.EmailAddress": create("account.EmailAddress", email="mine@example.com"),
    "mfa.Authenticator": recovery_codes,
    "socialaccount.SocialAccount": create("socialaccount.SocialAccount", provider="x", uid="1"),
    "socialaccount.SocialToken": social_token,
    "allauth_idp_oidc.Client": create("allauth_idp_oidc.Client", name="x"),
    "allauth_idp_oidc.Token": create("allauth_idp_oidc.Token", type="at", hash="1"),
    "social_django.UserSocialAuth": create("social_django.UserSocialAuth", provider="x", uid="1"),
    "otp_totp.TOTPDevice": create("otp_totp.TOTPDevice", name="x"),
    "otp_hotp.HOTPDevice": create("otp_hotp.HOTPDevice", name="x"),
    "otp_email.EmailDevice": create("otp_email.EmailDevice", name="x"),
    "otp_static.StaticDevice": create("otp_static.StaticDevice", name="x"),
    "otp_static.StaticToken": static_token,
    "phonenumber.PhoneDevice": create("phonenumber.PhoneDevice", name="x", number="+31612345678", method="sms"),
    "two_factor_webauthn.WebauthnDevice": create(
        "two_factor_webauthn.WebauthnDevice", name="x", public_key="1", key_handle="1", sign_count=0
    ),
}


def make_one(request: HttpRequest, label: str) -> HttpResponse:
    MADE[label](request.user)
    return HttpResponse("made")


urlpatterns = [path("make/<label>/", make_one), *base]


def story() -> None:
    models = {model._meta.label for model in apps.get_models(include_auto_created=True)}
    assert list(MADE) == [label for label in DEFAULT_MODELS if label in models]
    assert len(rules().tables) == len(MADE)
    agent, bob = Visitor(make("agent", email="agent@example.com")), make("bob")
    own = Visitor(bob)
    start(agent, bob)
    for label in MADE:
        response = agent.get(f"/make/{label}/")
        assert response.status_code == 403, (label, response.status_code, response.content)
        assert not apps.get_model(label)._base_manager.exists(), label
    stop(agent, bob)
    for label in MADE:
        assert own.get(f"/make/{label}/").content == b"made", label
        assert apps.get_model(label)._base_manager.count() >= 1, label
