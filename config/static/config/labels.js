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

  // Widgets are made when the page is ready, and again when a form gets more rows.
  document.addEventListener("DOMContentLoaded", () => {
    makeItems();
    nameSearchFields();
    new MutationObserver(nameSearchFields).observe(document.body, {
      childList: true,
      subtree: true,
    });
  });
})();
