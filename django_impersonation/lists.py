"""The admin's lists of records: read-only, and as quick for a million as for a hundred."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin import helpers
from django.core.exceptions import SuspiciousOperation
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy

from django_impersonation.useradmin import ModelAdmin

if TYPE_CHECKING:
    Pages = Paginator[Any]
else:
    Pages = Paginator

# So many rows can be leafed through, and are read for a word that no index knows.
MOST = 10_000


class FirstPages(Pages):
    """Counts up to ``MOST``: to count a million rows takes longer than to show a hundred of them."""

    @cached_property
    def found(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: MOST + 1].count())

    @cached_property
    def count(self) -> int:
        return min(self.found, MOST)

    @property
    def more(self) -> int | None:
        """How many are listed, if there are more than that."""
        return MOST if self.found > MOST else None


class CalendarFilter(admin.DateFieldListFilter):
    """Also every year since the first record, the months of the chosen year and the days of the chosen month.

    The admin's date hierarchy would read the whole table, to leave out the days without any.
    """

    def __init__(
        self, field: Any, request: HttpRequest, params: Any, model: Any, model_admin: Any, field_path: str
    ) -> None:
        super().__init__(field, request, params, model, model_admin, field_path)
        ordered = model_admin.get_queryset(request).order_by(field_path)
        first = ordered.values_list(field_path, flat=True).first()
        if first is not None:
            self.links = (*self.links, *self._calendar(_naive(first), _naive(timezone.now())))

    def _calendar(self, first: datetime, now: datetime) -> Iterator[tuple[str, dict[str, Any]]]:
        for year in range(now.year, first.year - 1, -1):
            start = first.replace(year=year, month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
            whole = self._between(start, start.replace(year=year + 1))
            yield str(year), whole
            if not self._chosen(f"{year:04}-"):
                continue
            for month in range(12, 0, -1):
                start = start.replace(month=month, day=1)
                end = (start + timedelta(days=31)).replace(day=1)
                if end <= first or start > now:
                    continue
                yield capfirst(date_format(start, "YEAR_MONTH_FORMAT")), self._between(start, end)
                if self._chosen(f"{year:04}-{month:02}-") and not self._chosen(whole):
                    for number in range((end - start).days, 0, -1):
                        day = start.replace(day=number)
                        if day <= now:
                            title = capfirst(date_format(day, "MONTH_DAY_FORMAT"))
                            yield title, self._between(day, day + timedelta(days=1))

    def _between(self, start: datetime, end: datetime) -> dict[str, Any]:
        ends = (timezone.make_aware(end) if settings.USE_TZ else end for end in (start, end))
        return dict(zip((self.lookup_kwarg_since, self.lookup_kwarg_until), ends, strict=True))

    def _chosen(self, what: str | dict[str, Any]) -> bool:
        if isinstance(what, str):
            return str(self.date_params.get(self.lookup_kwarg_since, "")).startswith(what)
        return self.date_params == {name: str(end) for name, end in what.items()}


def _naive(moment: datetime) -> datetime:
    return timezone.make_naive(moment) if timezone.is_aware(moment) else moment


class ReadOnlyAdmin(ModelAdmin):
    class Media:
        css = {"all": ["django_impersonation/admin.css"]}

    paginator = FirstPages
    # Of a filter's choices each would be counted.
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    sortable_by = ("created_at",)
    search_fields = (
        "impersonator_email",
        "impersonator_label",
        "user_email",
        "user_label",
        "organization_name",
        "reason",
    )
    search_help_text = gettext_lazy(
        "Finds an id or the beginning of an e-mail address; in the newest 10,000 of the list also any part of a name,"
        " an organization or a reason."
    )
    # What is found in the whole table as well, if it is given in full.
    search_keys: tuple[str, ...] = ("pk",)
    # What an address may filter by, exactly: the admin's own rule lets it feel for digests, letter by letter.
    lookups: tuple[str, ...] = ()

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup in self.lookups and "\x00" not in value

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """By the indexes in all that is filtered, and word by word, as the admin does, in what is newest of it."""
        if not search_term:
            return queryset, False
        newest = queryset.order_by("-created_at").values_list("created_at", flat=True)[MOST - 1 : MOST]
        recent = queryset.filter(created_at__gte=newest[0]) if newest else queryset
        found, doubled = super().get_search_results(request, recent, search_term)
        known = Q(user_email__istartswith=search_term) | Q(impersonator_email__istartswith=search_term)
        for key in self.search_keys:
            known |= Q((key, search_term))
        return found | queryset.filter(known), doubled

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        return None if "\x00" in object_id else super().get_object(request, object_id, from_field)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if any("\x00" in key for key in request.POST.getlist(helpers.ACTION_CHECKBOX_NAME)):
            raise SuspiciousOperation("NUL")  # PostgreSQL has no such text, and Django does not ask before
        return super().changelist_view(request, extra_context)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
