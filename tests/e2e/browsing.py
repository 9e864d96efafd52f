"""Browser profiles, the hands that use them, and the ways that every test goes."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from organizations.models import Organization
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Locator, Page, Request, Response, WebError, expect

from tests import people

WINDOW = {"width": 1280, "height": 800}
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "color_scheme": "dark"}
PATIENCE = 15_000  # milliseconds; a busy machine is slow, and only failures wait
expect.set_options(timeout=PATIENCE)

# A policy's breach is told twice, to the console and to the document; the second is sent on to the first.
BREACH = "a breach of the policy:"
TELL_OF_BREACHES = f"""document.addEventListener("securitypolicyviolation", event =>
  console.error("{BREACH}", event.effectiveDirective, event.blockedURI))"""


class Visitor:
    """One browser profile on the site, and what went wrong on its pages.

    ``forgive`` begins the messages that a test provokes; ``hosts`` are those that it visits beside the site.
    """

    def __init__(
        self,
        chromium: Browser,
        origin: str,
        *,
        forgive: str | tuple[str, ...] = (),
        hosts: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        self.forgive, self.hosts = forgive, {urlsplit(origin).netloc, *hosts}
        self.context = chromium.new_context(**{"base_url": origin, "viewport": WINDOW} | options)
        self.context.set_default_timeout(PATIENCE)
        self.seen: list[tuple[str, str]] = []
        self.refused: set[str] = set()
        self.context.add_init_script(TELL_OF_BREACHES)
        self.context.on("console", self._console)
        self.context.on("weberror", self._error)
        self.context.on("dialog", self._dialog)
        self.context.on("request", self._request)
        self.context.on("response", self._response)

    def sign_in(self, user: Any, *, as_: Any = None, reason: str = "") -> None:
        """By way of Django's test client, whose cookies the browser gets; in the first organization, if any."""
        client = people.Browser(user)
        if as_ is not None:
            organization = Organization.objects.filter(users=as_).order_by("name").first()
            client.start(as_, organization=organization, reason=reason)
        self.context.add_cookies(
            [
                {
                    "name": cookie.key,
                    "value": cookie.value,
                    "domain": "localhost",
                    "path": cookie["path"],
                    "httpOnly": bool(cookie["httponly"]),
                    "sameSite": cookie["samesite"] or "Lax",
                }
                for cookie in client.cookies.values()
                if cookie.value
            ]
        )

    def problems(self) -> list[str]:
        return [f"{text} {url}".strip() for text, url in self.seen if not self._is_forgiven(text, url)]

    def _is_forgiven(self, text: str, url: str) -> bool:
        if text.startswith(self.forgive):
            return True
        # Chromium logs each answer of 400 and above as an error: one to a page that was opened is none, and
        # neither is that the stock admin has no icon.
        return text.startswith("Failed to load") and (url in self.refused or url.endswith("/favicon.ico"))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.seen.append((message.text, message.location["url"]))

    def _error(self, error: WebError) -> None:
        self.seen.append((str(error.error), ""))

    def _dialog(self, dialog: Dialog) -> None:
        self.seen.append((f"a dialog: {dialog.message}", ""))
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        if urlsplit(request.url).netloc not in self.hosts:
            self.seen.append((f"a request to {request.url}", ""))

    def _response(self, response: Response) -> None:
        if response.status >= 500:
            self.seen.append((f"status {response.status}", response.url))
        elif response.status >= 400 and response.request.is_navigation_request():
            self.refused.add(response.url)


class Mouse:
    def press(self, target: Locator) -> None:
        target.click()

    def write(self, target: Locator, text: str) -> None:
        target.click()
        target.page.keyboard.type(text)

    def choose(self, target: Locator, label: str) -> None:
        target.select_option(label=label)


class Finger(Mouse):
    def press(self, target: Locator) -> None:
        target.tap()


class Keyboard:
    """Tab, Shift, Enter, Space and letters: what the page does not offer to them does not exist."""

    def press(self, target: Locator) -> None:
        self._reach(target)
        is_link = target.evaluate("element => element.tagName === 'A'")
        target.page.keyboard.press("Enter" if is_link else "Space")

    def write(self, target: Locator, text: str) -> None:
        self._reach(target)
        target.page.keyboard.type(text)

    def choose(self, target: Locator, label: str) -> None:
        self.write(target, label)

    def _reach(self, target: Locator) -> None:
        element = target.element_handle()
        for _ in range(150):
            if element.evaluate("element => element === document.activeElement"):
                return
            target.page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {target}")


def bar(page: Page) -> Locator:
    return page.get_by_role("region", name="Impersonation", exact=True)


def start(page: Page, user: Any, *, organization: str | None = None, reason: str = "Ticket 4711") -> None:
    """The way through the prompt, in a browser of staff."""
    page.goto(f"/admin/shop/user/{user.pk}/impersonate/")
    page.get_by_label("Reason").fill(reason)
    if organization is not None:
        page.get_by_label("Organization").select_option(label=organization)
    page.get_by_role("button", name="Impersonate user").click()
    page.wait_for_url("/")


def stop(page: Page) -> None:
    bar(page).get_by_role("button", name="Stop impersonating").click()
    page.wait_for_url("/admin/**")


def submit(button: Locator) -> int:
    """Press a button that leads to another page, whose status is returned."""
    with button.page.expect_response(lambda response: response.request.method == "POST") as caught:
        button.click()
    button.page.wait_for_load_state()
    return int(caught.value.status)
