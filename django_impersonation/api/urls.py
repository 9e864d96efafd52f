"""The API, for the root of a host: some SDKs drop the prefix of a path. Put it behind your own addresses."""

from __future__ import annotations

from django.urls import path, re_path

from django_impersonation.api import authenticate, browser, views

app_name = "django_impersonation_api"
urlpatterns = [
    path("user_management/authenticate", authenticate.Authenticate.view(), name="authenticate"),
    path("user_management/authorize", browser.authorize, name="authorize"),
    path("user_management/sessions/logout", browser.logout, name="logout"),
    path("user_management/sessions/revoke", views.RevokeSession.view(), name="revoke_session"),
    path("user_management/users", views.Users.view(), name="users"),
    path("user_management/users/<str:user_id>", views.User.view(), name="user"),
    path("user_management/users/<str:user_id>/sessions", views.UserSessions.view(), name="user_sessions"),
    path("user_management/organization_memberships", views.Memberships.view(), name="memberships"),
    path("organizations/<str:organization_id>", views.Organization.view(), name="organization"),
    path("sso/jwks/<str:client_id>", views.Jwks.view(), name="jwks"),
    path("events", views.Events.view(), name="events"),
    re_path("^(?:user_management|sso)/", views.Unknown.view()),
]
