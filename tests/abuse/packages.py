"""Where other packages keep their sensitive views: nothing here needs them installed.

The dotted paths and names are those of django-allauth 65.22, django-oauth-toolkit 3.4, dj-rest-auth 7.2, djoser 2.3,
django-rest-knox 5.1, djangorestframework-simplejwt 5.5, django-two-factor-auth 1.18, social-auth-app-django 7.2; of
django-allauth also 65.21, whose classes of `account` stand in one module.
"""

from __future__ import annotations

classes = """
django.contrib.auth.views.PasswordChangeView django.contrib.auth.views.PasswordChangeDoneView
django.contrib.auth.views.PasswordResetView django.contrib.auth.views.PasswordResetConfirmView
allauth.account.views.PasswordChangeView allauth.account.views.PasswordSetView
allauth.account.views.PasswordResetView allauth.account.views.PasswordResetFromKeyView
allauth.account.views.EmailView allauth.account.views.ConfirmEmailView
allauth.account.views.EmailVerificationSentView allauth.account.views.ReauthenticateView
allauth.account.views.ChangePhoneView allauth.account.views.VerifyPhoneView
allauth.account.views._reauthenticate.ConfirmReauthenticationCodeView
allauth.mfa.base.views.IndexView allauth.mfa.base.views.TrustView allauth.mfa.totp.views.ActivateTOTPView
allauth.mfa.totp.views.DeactivateTOTPView allauth.mfa.recovery_codes.views.GenerateRecoveryCodesView
allauth.mfa.recovery_codes.views.DownloadRecoveryCodesView allauth.mfa.webauthn.views.AddWebAuthnView
allauth.mfa.webauthn.views.RemoveWebAuthnView
allauth.socialaccount.views.ConnectionsView allauth.socialaccount.views.SignupView
allauth.socialaccount.providers.google.views.LoginByTokenView
allauth.usersessions.views.ListUserSessionsView
allauth.headless.account.views.ChangePasswordView allauth.headless.account.views.ManageEmailView
allauth.headless.mfa.views.ManageTOTPView allauth.headless.tokens.views.RefreshTokenView
allauth.idp.oidc.views.AuthorizationView allauth.idp.oidc.views.DeviceAuthorizationView
oauth2_provider.views.base.AuthorizationView oauth2_provider.views.base.TokenView
oauth2_provider.views.device.DeviceConfirmView oauth2_provider.views.application.ApplicationRegistration
oauth2_provider.views.application.ApplicationUpdate oauth2_provider.views.token.AuthorizedTokensListView
oidc_provider.views.AuthorizeView oidc_provider.views.TokenView
two_factor.views.core.SetupView two_factor.views.core.BackupTokensView two_factor.views.profile.DisableView
passkeys.api.views.RegisterVerifyAPIView
rest_framework.authtoken.views.ObtainAuthToken rest_framework_simplejwt.views.TokenObtainPairView
rest_framework_simplejwt.views.TokenRefreshView rest_framework_simplejwt.views.TokenObtainSlidingView
knox.views.LoginView knox.views.LogoutAllView
dj_rest_auth.views.LoginView dj_rest_auth.views.PasswordChangeView dj_rest_auth.views.PasswordResetConfirmView
dj_rest_auth.registration.views.SocialConnectView
djoser.views.UserViewSet djoser.views.TokenCreateView djoser.social.views.ProviderAuthView
hijack.views.AcquireUserView
"""

functions = """
allauth.socialaccount.providers.oauth2.views.OAuth2View.adapter_view.<locals>.view
social_django.views.auth social_django.views.complete social_django.views.disconnect
passkeys.FIDO2.reg_begin passkeys.FIDO2.reg_complete passkeys.views.delKey
impersonate.views.impersonate loginas.views.user_login
"""

names = """
password_change password_change_done password_reset password_reset_confirm
account_change_password account_set_password account_reset_password account_reset_password_from_key
account_email account_email_verification_sent account_change_phone account_verify_phone account_reauthenticate
account_request_reauthentication_code account_confirm_reauthentication_code
mfa_index mfa_activate_totp mfa_deactivate_totp mfa_view_recovery_codes mfa_add_webauthn mfa_trust
socialaccount_connections socialaccount_signup usersessions_list
"""

# Identity providers, tokens and second factors of packages beyond the most common ones.
others = """
djangosaml2idp.views.LoginProcessView cas_server.views.LoginView mama_cas.views.LoginView
mfa.totp.verify mfa.FIDO2.complete_reg mfa.recovery.genTokens
multifactor.views.Add multifactor.factors.fido2.Register trench.views.base.MFAMethodActivationView
django_otp_webauthn.views.CompleteCredentialRegistrationView user_sessions.views.SessionListView
drf_social_oauth2.views.ConvertTokenView rest_social_auth.views.SocialTokenUserAuthView
rest_framework_jwt.views.ObtainJSONWebTokenView drfpasswordless.views.ObtainAuthTokenFromCallbackToken
rest_registration.api.views.change_password django_rest_passwordreset.views.ResetPasswordConfirm
"""

CLASSES, FUNCTIONS, NAMES, OTHERS = classes.split(), functions.split(), names.split(), others.split()
