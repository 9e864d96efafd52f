"""User models of many kinds. The one that AUTH_USER_MODEL names is there; the others are swapped out."""

from __future__ import annotations

import uuid
from typing import Any

import django
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models


class Person(AbstractBaseUser, PermissionsMixin):
    name = models.CharField(max_length=100, unique=True)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)

    objects = BaseUserManager()

    USERNAME_FIELD = "name"

    class Meta:
        abstract = True
        swappable = "AUTH_USER_MODEL"


class StringKey(Person):
    """Keys as a payment provider makes them: what the admin quotes (``_4F``), and more."""

    id = models.CharField(primary_key=True, max_length=40)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.id = self.id or f"cus_4F/{self.name} é?"
        super().save(*args, **kwargs)


class UuidKey(Person):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)


class BigKey(Person):
    id = models.BigIntegerField(primary_key=True)

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.id is None:
            self.id = 2**63 - 1 - type(self).objects.count()
        super().save(*args, **kwargs)


class Derived(AbstractBaseUser, PermissionsMixin):
    """Staff is who is in the group of that name: a property, and one that asks the database."""

    name = models.CharField(max_length=100, unique=True)
    is_active = models.BooleanField(default=True)

    objects = BaseUserManager()

    USERNAME_FIELD = "name"

    class Meta:
        swappable = "AUTH_USER_MODEL"

    @property
    def is_staff(self) -> bool:
        return self.is_superuser or self.groups.filter(name="staff").exists()


class VisibleManager(BaseUserManager):
    def get_queryset(self) -> Any:
        return super().get_queryset().filter(deleted=False)


class SoftDeleted(Person):
    deleted = models.BooleanField(default=False)

    objects = VisibleManager()
    everybody = models.Manager()


class Documented(AbstractBaseUser):
    """The full example of Django's own documentation: no ``PermissionsMixin``, staff as a property."""

    name = models.CharField(max_length=100, unique=True)
    is_admin = models.BooleanField(default=False)

    objects = BaseUserManager()

    USERNAME_FIELD = "name"

    class Meta:
        swappable = "AUTH_USER_MODEL"

    def __str__(self) -> str:
        return self.name

    @property
    def is_staff(self) -> bool:
        return self.is_admin

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        return True

    def has_module_perms(self, app_label: str) -> bool:
        return True


class Bare(models.Model):
    """No password, no ``is_active``, no last login: as little as Django's ``login`` takes."""

    if django.VERSION >= (6, 1):  # from here on `login` asks for it

        def get_session_auth_hash(self) -> str:
            return self.name

    name = models.CharField(max_length=100, unique=True)
    is_staff = models.BooleanField(default=False)

    USERNAME_FIELD = "name"
    REQUIRED_FIELDS: list[str] = []
    is_anonymous = False
    is_authenticated = True

    class Meta:
        swappable = "AUTH_USER_MODEL"

    def __str__(self) -> str:
        return self.name

    def get_username(self) -> str:
        return self.name

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        return self.is_staff
