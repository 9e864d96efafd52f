from __future__ import annotations

from django.contrib.auth import views as auth
from django.urls import path

from example_project.shop import api, views

urlpatterns = [
    path("", views.home, name="home"),
    path("profile/", views.profile, name="profile"),
    path("billing/", views.billing, name="billing"),
    path("organizations/switch/", views.switch_organization, name="switch_organization"),
    path("api/me/", api.Me.as_view(), name="api_me"),
    path("accounts/login/", auth.LoginView.as_view(template_name="shop/login.html"), name="login"),
    path("accounts/logout/", auth.LogoutView.as_view(), name="logout"),
    # By name, as the admin (installed before the shop) brings templates of the default name.
    path(
        "accounts/password_change/",
        auth.PasswordChangeView.as_view(template_name="shop/password_change.html"),
        name="password_change",
    ),
    path(
        "accounts/password_change/done/",
        auth.PasswordChangeDoneView.as_view(template_name="shop/password_change_done.html"),
        name="password_change_done",
    ),
]
