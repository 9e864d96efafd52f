from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from django_impersonation import codes, policy
from django_impersonation.conf import conf
from django_impersonation.exceptions import ImpersonationDenied
from django_impersonation.organizations import organizations_for

# More organizations than a person reads in a list.
MANY = 100


class ImpersonateForm(forms.Form):
    """Why, with which access, and in which organization; the last only for users who have several.

    Raises ``ImpersonationDenied`` when the user's organizations cannot be read.
    """

    required_css_class = "required"  # the admin's, for labels

    reason = forms.CharField(
        label=_("Reason"), widget=forms.Textarea(attrs={"rows": 3}), max_length=policy.REASON_LENGTH
    )

    access = forms.ChoiceField(
        label=_("Access"),
        choices=[("view_only", _("View only: nothing can be changed")), ("full", _("Full access"))],
        widget=forms.RadioSelect,
        required=False,
    )

    def __init__(self, *args: Any, user: Any, impersonator: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        if policy.needed(view_only=False) == [policy.PERMISSION] or impersonator.has_perm(policy.FULL_ACCESS):
            self.fields["access"].initial = conf.IMPERSONATION_DEFAULT_ACCESS
        else:
            del self.fields["access"]
        self.fields["reason"].required = conf.IMPERSONATION_REASON_REQUIRED
        found = organizations_for(user, limit=MANY + 1)
        self.suggestions = found[:MANY] if len(found) > MANY else []
        if self.suggestions:
            self.fields["organization"] = forms.CharField(
                label=_("Organization"),
                max_length=255,
                widget=forms.TextInput(attrs={"list": "impersonation-organizations", "autocomplete": "off"}),
                help_text=_("This user has more than %(count)d organizations. Type the id of one.") % {"count": MANY},
            )
        elif len(found) > 1:
            choices = [("", _("Choose one"))] + [(o.id, o.name) for o in found]
            self.fields["organization"] = forms.ChoiceField(label=_("Organization"), choices=choices)

    def clean_reason(self) -> str:
        try:
            return policy.clean_reason(self.cleaned_data["reason"])
        except ImpersonationDenied as refusal:
            raise ValidationError(str(refusal), refusal.code) from refusal

    @property
    def view_only(self) -> bool | None:
        """None for the default, or where there is no choice."""
        access = self.cleaned_data.get("access")
        return access == "view_only" if access else None

    def clean(self) -> dict[str, Any]:
        """The organization that was sent counts, also if the user has left others since and is not asked now."""
        data = super().clean() or self.cleaned_data
        sent = self.data.getlist("organization") if hasattr(self.data, "getlist") else []
        try:
            if len(sent) > 1:
                raise ImpersonationDenied(str(_("Choose one of the user's organizations.")), "duplicate")
            if any(sent) and "organization" not in self.errors:
                data["organization"] = sent[0].strip()
                codes.choose_organization(self.user, data["organization"])
        except ImpersonationDenied as refusal:
            field = "organization" if "organization" in self.fields else None
            self.add_error(field, ValidationError(str(refusal), refusal.code))
        return data
