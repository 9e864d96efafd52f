"""What an impersonator must not reach: whatever outlives the session, or leads out of it.

A pattern (``fnmatch``) matches a view's name, an app name in its namespace path, or the dotted path of its
function, its class or one of the classes that it inherits from.
"""

from __future__ import annotations

DEFAULT_BLOCKED_VIEWS = (
    # Every admin site: staff who are impersonated lend their pages, not their powers.
    "admin",
    # Django: passwords.
    "django.contrib.auth.views.PasswordChange*",
    "django.contrib.auth.views.PasswordReset*",
    "password_change*",
    "password_reset*",
    # django-allauth: passwords, e-mail addresses, second factors, sessions, linked accounts, its own API and IdP.
    "account_change_password",
    "account_set_password",
    "account_reset_password*",
    "account_email*",
    "account_change_phone",
    "account_verify_phone",
    "account_*reauthenticat*",
    "allauth.account.views.*Email*",
    "allauth.account.views.*Password*",
    "allauth.account.views.*Phone*",
    "allauth.account.views.*Reauthenticat*",
    "allauth.mfa.*",
    "mfa_*",
    "allauth.socialaccount.*",
    "socialaccount_*",
    "allauth.usersessions.*",
    "usersessions_*",
    "allauth.headless.*",
    "headless",
    "allauth.idp.*",
    "idp",
    # Consent, applications and sign-in elsewhere: django-oauth-toolkit, identity providers for OIDC, SAML and CAS.
    "oauth2_provider",
    "oauth2_provider.views.*",
    "oidc_provider",
    "oidc_provider.views.*",
    "djangosaml2idp.*",
    "cas_server.*",
    "mama_cas.*",
    # Linked accounts: social-auth-app-django.
    "social",
    "social_django.views.*",
    # Second factors and passkeys.
    "two_factor",
    "two_factor.views.*",
    "passkeys",
    "passkeys.*",
    "mfa.*",
    "multifactor.*",
    "trench.*",
    "django_otp_webauthn.*",
    "user_sessions.*",
    # Tokens that outlive the session.
    "rest_framework.authtoken.views.*",
    "rest_framework_simplejwt.views.*",
    "knox.views.*",
    "rest_framework_jwt.*",
    "dj_rest_auth.views.LoginView",
    "dj_rest_auth.views.Password*",
    "dj_rest_auth.registration.views.*",
    "drf_social_oauth2.*",
    "rest_social_auth.*",
    "drfpasswordless.*",
    "rest_registration.*",
    "django_rest_passwordreset.*",
    "djoser.*",
    # Other impersonation packages: no session within the session.
    "hijack",
    "hijack.views.*",
    "impersonate.views.*",
    "loginas.views.*",
)

# The user's own logout, for view-only sessions too.
SIGN_OUT_VIEWS = ("django.contrib.auth.views.LogoutView", "allauth.account.views.LogoutView")
