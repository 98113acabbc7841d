// A page about work that is under way shows how far it is, and its result as soon as it is there.
(() => {
  const EVERY_MILLISECONDS = 1500;

  const region = () => document.querySelector("[data-follow]");

  const follow = async () => {
    if (document.visibilityState !== "visible") return;
    let fresh;
    try {
      const response = await fetch(window.location.href, { credentials: "same-origin" });
      if (!response.ok || response.redirected) return;
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      fresh = page.querySelector("[data-follow]");
    } catch {
      return; // the server is away for a moment; the next turn asks again
    }
    if (fresh) region().replaceWith(fresh);
  };

  document.addEventListener("DOMContentLoaded", () => {
    const turn = window.setInterval(() => {
      if (region().hasAttribute("data-at-work")) follow();
      else window.clearInterval(turn);
    }, EVERY_MILLISECONDS);
  });
})();
