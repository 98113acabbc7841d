// The explorer's menus and copies. Every choice is a link, so that all else is the browser's.
(() => {
  const openMenus = () => document.querySelectorAll("#tb-explorer details.tbx-menu[open]");

  const closeOthers = (kept) =>
    openMenus().forEach((menu) => {
      if (menu !== kept) menu.open = false;
    });

  // A menu that would reach past the window's edge is moved into it.
  const place = (menu) => {
    const pop = menu.querySelector(".tbx-pop");
    pop.style.transform = "";
    const { left, right } = pop.getBoundingClientRect();
    const excess = Math.max(0, right - document.documentElement.clientWidth + 12);
    const shift = Math.max(-excess, 12 - left);
    if (excess || left < 12) pop.style.transform = `translateX(${shift}px)`;
  };

  const copy = async (button) => {
    const text = document.getElementById(button.dataset.copy).textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      return; // not allowed here: the text can be selected
    }
    const before = button.textContent;
    button.textContent = "Copied";
    window.setTimeout(() => (button.textContent = before), 1500);
  };

  document.addEventListener("click", (event) => {
    closeOthers(event.target.closest("details.tbx-menu"));
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    openMenus().forEach((menu) => {
      menu.open = false;
      menu.querySelector("summary").focus();
    });
  });
  document.addEventListener(
    "toggle",
    (event) => {
      if (event.target.matches?.("details.tbx-menu") && event.target.open) place(event.target);
    },
    true,
  );
  document.addEventListener("change", (event) => {
    const form = event.target.closest("#tb-explorer [data-submit-on-change]");
    if (!form) return;
    if (event.target.name === "account" && form.elements.workspace) {
      form.elements.workspace.value = "";
    }
    form.requestSubmit();
  });
})();
