// Search-as-you-type for a value to filter by: a combobox over a list of what there is.
(() => {
  const PAUSE_MILLISECONDS = 120;
  let waiting = null;
  let asking = null;

  const parts = (form) => ({
    input: form.elements.filter_value,
    select: form.elements.filter_by,
    list: form.querySelector('[role="listbox"]'),
    hint: form.querySelector("[data-hint]"),
  });

  const choose = (option) => {
    const address = new URL(`?${option.dataset.query}`, window.location.href).href;
    document.dispatchEvent(new CustomEvent("tbx:go", { detail: address }));
  };

  const select = (form, option) => {
    const { input, list } = parts(form);
    list.querySelectorAll('[aria-selected="true"]').forEach((one) => one.setAttribute("aria-selected", "false"));
    if (!option) return input.removeAttribute("aria-activedescendant");
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", option.id);
  };

  const optionOf = (result, place) => {
    const option = document.createElement("li");
    option.id = `tbx-value-${place}`;
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", "false");
    option.dataset.query = result.query;
    for (const [text, quiet] of [[result.label, false], [result.figure, true], [result.detail, true]]) {
      if (!text) continue;
      const span = document.createElement("span");
      span.textContent = text;
      if (quiet) span.className = "tb-quiet";
      option.append(span);
    }
    option.title = result.detail ? `${result.label} (${result.detail})` : result.label;
    option.addEventListener("click", () => choose(option));
    return option;
  };

  const ask = async (form) => {
    const { input, select: by, list, hint } = parts(form);
    asking?.abort();
    asking = new AbortController();
    const asked = new URLSearchParams(new FormData(form));
    asked.delete("filter_by");
    asked.delete("filter_value");
    asked.set("dimension", by.value);
    asked.set("q", input.value);
    let answer;
    try {
      const address = `${form.dataset.values}?${asked}`;
      const response = await fetch(address, { credentials: "same-origin", signal: asking.signal });
      answer = await response.json();
    } catch {
      return; // typed on, or the server is away for a moment
    }
    const results = answer.results ?? [];
    list.replaceChildren(...results.map(optionOf));
    input.setAttribute("aria-expanded", String(results.length > 0));
    hint.textContent = answer.error ?? (results.length ? "" : "Nothing of that name was used in this period.");
    select(form, list.firstElementChild);
  };

  const later = (form) => {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(() => ask(form), PAUSE_MILLISECONDS);
  };

  const step = (form, towards) => {
    const { list } = parts(form);
    const options = [...list.children];
    if (!options.length) return;
    const now = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
    select(form, options[(now + towards + options.length) % options.length]);
  };

  const formOf = (event) => event.target.closest?.("[data-filter]");

  document.addEventListener("input", (event) => {
    const form = formOf(event);
    if (form && event.target.name === "filter_value") later(form);
  });
  document.addEventListener("change", (event) => {
    const form = formOf(event);
    if (!form || event.target.name !== "filter_by") return;
    parts(form).input.value = "";
    ask(form);
    parts(form).input.focus();
  });
  document.addEventListener("keydown", (event) => {
    const form = formOf(event);
    if (!form || event.target.name !== "filter_value") return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      step(form, event.key === "ArrowDown" ? 1 : -1);
    }
  });
  document.addEventListener("submit", (event) => {
    const form = formOf(event);
    if (!form) return;
    event.preventDefault();
    const option = form.querySelector('[aria-selected="true"]');
    if (option) choose(option);
  });
  document.addEventListener(
    "toggle",
    (event) => {
      const form = event.target.open && event.target.querySelector?.(":scope > [data-filter]");
      if (!form) return;
      ask(form);
      parts(form).input.focus();
    },
    true,
  );
})();
