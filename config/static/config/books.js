// The page on the books shows the result of a check that is under way as soon as it is there.
(() => {
  const EVERY_MILLISECONDS = 1500;

  const region = () => document.getElementById("tb-books");

  const follow = async () => {
    if (document.visibilityState !== "visible") return;
    let fresh;
    try {
      const response = await fetch(window.location.href, { credentials: "same-origin" });
      if (!response.ok || response.redirected) return;
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      fresh = page.getElementById("tb-books");
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
