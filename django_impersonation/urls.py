from __future__ import annotations

from django.urls import path

from django_impersonation import views

app_name = "django_impersonation"
urlpatterns = [
    path("callback/", views.callback, name="callback"),
    path("stop/", views.stop, name="stop"),
    path("ended/", views.ended, name="ended"),
]
