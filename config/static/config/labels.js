// What the theme's widgets leave unnamed for those who hear a page instead of seeing it.
(() => {
  const labelOf = (select) => select.labels?.[0]?.textContent.trim() || select.name;

  const nameSearchFields = () => {
    document.querySelectorAll("select.select2-hidden-accessible").forEach((select) => {
      const widget = select.nextElementSibling;
      widget
        ?.querySelectorAll("[role=combobox], [role=textbox], [role=searchbox]")
        .forEach((part) => {
          part.removeAttribute("aria-labelledby");
          part.setAttribute("aria-label", labelOf(select));
        });
    });
  };

  // A list may have nothing but items.
  const makeItems = () => {
    document.querySelectorAll("ul.object-tools > :not(li)").forEach((child) => {
      const item = document.createElement("li");
      item.className = "contents";
      child.replaceWith(item);
      item.append(child);
    });
  };

  // What is scrolled sideways is reached by the keyboard too, and says what it is.
  const reachScrolled = () => {
    document.querySelectorAll(".tb-scroll:not([tabindex])").forEach((region) => {
      const title = region.closest("section, .tb-card")?.querySelector("h2, h3");
      region.tabIndex = 0;
      region.setAttribute("role", "region");
      region.setAttribute("aria-label", title?.textContent.trim() || document.title);
    });
  };

  // On a phone a row stands as a block, each cell below what heads its column.
  const labelCells = () => {
    document.querySelectorAll("table.tb-stacked:not([data-labelled])").forEach((table) => {
      table.dataset.labelled = "";
      const heads = table.dataset.heads?.split("|") ||
        [...(table.tHead?.rows[0]?.cells || [])].map((head) => head.textContent.trim());
      [...table.tBodies].flatMap((body) => [...body.rows]).forEach((row) => {
        [...row.cells].forEach((cell, column) => {
          if (column && cell.colSpan === 1 && heads[column]) cell.dataset.label = heads[column];
        });
      });
    });
  };

  // Widgets are made when the page is ready, and again when a form gets more rows.
  document.addEventListener("DOMContentLoaded", () => {
    makeItems();
    const nameAll = () => {
      nameSearchFields();
      reachScrolled();
      labelCells();
    };
    nameAll();
    new MutationObserver(nameAll).observe(document.body, {
      childList: true,
      subtree: true,
    });
  });
})();
