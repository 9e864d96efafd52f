"""What would outlive an impersonation: the user's password, address and flags, and whatever signs in without them.

``IMPERSONATION_CREDENTIALS`` adds models ("app.Model": no row of it is written) and fields of the user model
("app.User.field": not changed), and takes out defaults ("-app.Model").
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist

from django_impersonation.conf import conf
from django_impersonation.records import email_field
from django_impersonation.statements import Write, bare

DEFAULT_MODELS = (
    # Django REST framework, Simple JWT, knox, durin, djangorestframework-api-key, passwordless, tastypie
    "authtoken.Token",
    "token_blacklist.OutstandingToken",
    "knox.AuthToken",
    "durin.AuthToken",
    "rest_framework_api_key.APIKey",
    "drfpasswordless.CallbackToken",
    "django_rest_passwordreset.ResetPasswordToken",
    "tastypie.ApiKey",
    # django-oauth-toolkit, swapped models too
    "oauth2_provider.Application",
    "oauth2_provider.Grant",
    "oauth2_provider.AccessToken",
    "oauth2_provider.RefreshToken",
    "oauth2_provider.IDToken",
    "oauth2_provider.DeviceGrant",
    # django-oidc-provider
    "oidc_provider.Code",
    "oidc_provider.Token",
    "oidc_provider.UserConsent",
    # django-allauth
    "account.EmailAddress",
    "mfa.Authenticator",
    "socialaccount.SocialAccount",
    "socialaccount.SocialToken",
    "allauth_idp_oidc.Client",
    "allauth_idp_oidc.Token",
    # social-auth-app-django
    "social_django.UserSocialAuth",
    # django-otp
    "otp_totp.TOTPDevice",
    "otp_hotp.HOTPDevice",
    "otp_email.EmailDevice",
    "otp_static.StaticDevice",
    "otp_static.StaticToken",
    "otp_yubikey.YubikeyDevice",
    "otp_yubikey.RemoteYubikeyDevice",
    "otp_twilio.TwilioSMSDevice",
    # django-two-factor-auth
    "phonenumber.PhoneDevice",
    "two_factor_webauthn.WebauthnDevice",
    # Passkeys and second factors of others
    "django_otp_webauthn.WebAuthnCredential",
    "passkeys.UserPasskey",
    "mfa.User_Keys",
    "multifactor.UserKey",
    "trench.MFAMethod",
)
FLAGS = ("password", "is_staff", "is_superuser")
_REMOVES = {"DELETE", "TRUNCATE"}
# Where the words do not tell into which table.
_UNREADABLE = {"INSERT", "UPDATE", "REPLACE", "MERGE", "COPY", "LOAD", "DO", "EXECUTE", "PREPARE", "?"}


class Rules(NamedTuple):
    tables: frozenset[str]
    # Several, where the user model inherits from one with a table of its own.
    user_tables: frozenset[str]
    # The protected fields of the user model, by their columns in small letters.
    user_fields: dict[str, Any]

    def refuses(self, write: Write, *, verified: bool) -> bool:
        """``verified``: ``changes`` has looked at the user who is being saved."""
        if write.verb in _REMOVES:
            return False
        if not write.table and write.verb in _UNREADABLE:
            return True
        if write.table in self.user_tables and self.user_fields:
            touched = write.verb != "UPDATE" or not write.columns.isdisjoint(self.user_fields)
            return touched and not verified
        return write.table in self.tables

    def written(self, user: Any, *, update_fields: Any) -> list[str]:
        """The protected fields that saving ``user`` would write."""
        return [
            field.attname
            for field in self.user_fields.values()
            if field.attname not in user.get_deferred_fields()
            and (update_fields is None or not {field.name, field.attname}.isdisjoint(update_fields))
        ]

    def changes(self, user: Any, names: list[str], stored: dict[str, Any]) -> list[str]:
        """Those of ``names`` that differ from what is stored; of a new user, those that make it staff."""
        before = stored or dict.fromkeys({"is_staff", "is_superuser"}, False)
        return sorted(name for name in names if name in before and _plain(user, name) != _plain(before, name))


def stored(user: Any, names: list[str], *, using: str) -> dict[str, Any]:
    """As they are in the database; empty, if saving makes a new user. One that has a key may be there already."""
    if user.pk is None:
        return {}
    return type(user)._base_manager.using(using).filter(pk=user.pk).values(*names).first() or {}


def _plain(values: Any, name: str) -> Any:
    """Forms write the domain of an e-mail address in small letters: that changes nothing."""
    value = values[name] if isinstance(values, dict) else getattr(values, name)
    if name != email_field(get_user_model()) or not isinstance(value, str):
        return value
    local, at, domain = value.rpartition("@")
    # Beyond ASCII, small letters of one mailbox may be those of another: the Kelvin sign's is a k.
    return local + at + (domain.lower() if domain.isascii() else domain)


def rules() -> Rules:
    return _rules(get_user_model(), tuple(conf.IMPERSONATION_CREDENTIALS))


def unknown() -> list[str]:
    """What the setting names and no installed app has."""
    named = [entry.removeprefix("-") for entry in conf.IMPERSONATION_CREDENTIALS]
    return [name for name in named if name not in DEFAULT_MODELS and _table(name) is None and _field(name) is None]


@lru_cache(maxsize=8)
def _rules(user_model: Any, added: tuple[str, ...]) -> Rules:
    own = user_model._meta.label
    defaults = (*DEFAULT_MODELS, *(f"{own}.{field}" for field in (*FLAGS, email_field(user_model))))
    removed = {entry[1:].lower() for entry in added if entry.startswith("-")}
    named = [entry for entry in (*defaults, *added) if entry.lower() not in removed and not entry.startswith("-")]
    tables = frozenset(bare(table) for table in map(_table, named) if table)
    fields = [field for field in map(_field, named) if field is not None]
    columns = {field.column.lower(): field for field in fields if not field.many_to_many}
    owners = {user_model, *(field.model for field in columns.values())}
    return Rules(tables, frozenset(bare(owner._meta.db_table) for owner in owners), columns)


def _table(name: str) -> str | None:
    """That of ``app.Model``, or the one between in ``app.User.groups``."""
    field = _field(name)
    try:
        model: Any = field.remote_field.through if field is not None and field.many_to_many else apps.get_model(name)
        return str((apps.get_model(model._meta.swapped) if model._meta.swapped else model)._meta.db_table)
    except (LookupError, ValueError):
        return None


def _field(name: str) -> Any:
    """``app.User.field``, if it is one that the model has and not one of others that point to it."""
    label, _, field = name.rpartition(".")
    meta = get_user_model()._meta
    try:
        found: Any = meta.get_field(field) if label.lower() == meta.label_lower else None
    except FieldDoesNotExist:
        return None
    return found if found is not None and (found.concrete or (found.many_to_many and not found.auto_created)) else None
