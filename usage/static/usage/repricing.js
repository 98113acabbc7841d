// Re-pricing: the page of one follows its progress, the page of a new one its account.
(() => {
  const EVERY_MILLISECONDS = 1500;

  const region = () => document.getElementById("tb-repricing");

  const follow = async () => {
    if (document.visibilityState !== "visible") return;
    let fresh;
    try {
      const response = await fetch(window.location.href, { credentials: "same-origin" });
      if (!response.ok || response.redirected) return;
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      fresh = page.getElementById("tb-repricing");
    } catch {
      return; // the server is away for a moment; the next turn asks again
    }
    if (fresh) region().replaceWith(fresh);
  };

  document.addEventListener("DOMContentLoaded", () => {
    if (region()) {
      const turn = window.setInterval(() => {
        if (region().hasAttribute("data-at-work")) follow();
        else window.clearInterval(turn);
      }, EVERY_MILLISECONDS);
    }
    const account = document.querySelector("[data-account]");
    account?.addEventListener("change", () => {
      const address = new URL(window.location.href);
      address.search = new URLSearchParams({ account: account.value }).toString();
      window.location = address;
    });
  });
})();
