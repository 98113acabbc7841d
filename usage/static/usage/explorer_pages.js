// Choices show their answer in place: the address changes as with any link, and back goes back.
(() => {
  const root = () => document.getElementById("tb-explorer");
  let asking = null;

  // Where the keyboard was, in words that hold in the next answer too.
  const placeOf = (element) => {
    const key = element?.closest?.("#tb-explorer [data-key]")?.dataset.key;
    if (key) return `[data-key="${key}"] > summary`;
    const label = element?.closest?.("#tb-explorer [aria-label]")?.getAttribute("aria-label");
    return label ? `[aria-label="${CSS.escape(label)}"]` : null;
  };

  const focusOn = (place) => {
    const found = place && root().querySelector(place);
    if (!found) return;
    const target = found.matches("a, button, summary, input, select") ? found : found.querySelector("[aria-current], a");
    target?.focus({ preventScroll: true });
  };

  const announce = () => {
    const status = document.getElementById("tbx-status");
    const chart = document.getElementById("tbx-chart");
    status.textContent = `Shown: ${chart?.getAttribute("aria-label") ?? "the table"}`;
  };

  const show = async (address, { push }) => {
    asking?.abort();
    asking = new AbortController();
    root().setAttribute("aria-busy", "true");
    let response;
    let text;
    try {
      response = await fetch(address, { credentials: "same-origin", signal: asking.signal });
      text = await response.text();
    } catch (error) {
      if (error.name !== "AbortError") window.location = address;
      return;
    }
    const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("tb-explorer");
    if (!response.ok || !fresh) {
      window.location = address; // logged out, or something that the page itself should say
      return;
    }
    const place = placeOf(document.activeElement);
    if (push) window.history.pushState({}, "", response.url);
    root().replaceWith(document.adoptNode(fresh));
    document.dispatchEvent(new Event("tbx:shown"));
    focusOn(place);
    announce();
  };

  const isPlain = (event) =>
    event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('#tb-explorer a[href^="?"]');
    if (!link || event.defaultPrevented || !isPlain(event)) return;
    event.preventDefault();
    show(link.href, { push: true });
  });

  document.addEventListener("submit", (event) => {
    const form = event.target.closest('#tb-explorer form[method="get"]');
    if (!form || event.defaultPrevented) return;
    event.preventDefault();
    show(`${window.location.pathname}?${new URLSearchParams(new FormData(form))}`, { push: true });
  });

  document.addEventListener("tbx:go", (event) => show(event.detail, { push: true }));
  window.addEventListener("popstate", () => show(window.location.href, { push: false }));
})();
