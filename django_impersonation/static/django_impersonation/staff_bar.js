// Remembers Hide from page to page in this tab, counts the minutes down, and keeps the end of the page clear.
// The bar works without it.

const KEY = "impersonation-bar-hidden"; // holds the end of the session that it was hidden in: the next one starts shown
let bar = null;
let end = 0;

function remembered() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null; // storage is forbidden here
  }
}

function remember(value) {
  try {
    sessionStorage.setItem(KEY, value);
  } catch {
    // Hide then lasts for this page.
  }
}

const resized = new ResizeObserver(() => {
  const text = bar.querySelector(".impersonation-text");
  if (text && text.scrollHeight > text.clientHeight) {
    text.tabIndex = 0; // what scrolls must be reachable by keyboard
  } else {
    text?.removeAttribute("tabindex");
  }
  document.documentElement.style.setProperty("--impersonation-space", `${bar.offsetHeight}px`);
});

function adopt(found) {
  bar = found;
  const details = bar.querySelector("details");
  const { expires } = bar.dataset;
  if (details) {
    details.open = remembered() !== expires;
    details.addEventListener("toggle", () => remember(details.open ? "" : expires));
  }
  const byServer = Date.now() + Number(bar.querySelector("[data-minutes]")?.textContent) * 60_000;
  end = Number(expires) * 1000;
  if (Math.abs(end - byServer) > 90_000) end = byServer; // this computer's clock is wrong
  resized.disconnect();
  resized.observe(bar);
}

function update() {
  const found = document.getElementById("impersonation-bar");
  if (!found) return;
  if (found !== bar) adopt(found); // also after Turbo or htmx exchanged the body
  const minutes = bar.querySelector("[data-minutes]");
  const left = String(Math.max(0, Math.ceil((end - Date.now()) / 60_000)));
  if (minutes && minutes.textContent !== left) minutes.textContent = left;
}

update();
setInterval(update, 1000);
