// The request log's filter form: a filter chosen by a link can be chosen anew.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("[data-forget]").forEach((link) => {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const address = new URL(window.location.href);
      address.searchParams.delete(link.dataset.forget);
      address.searchParams.delete("cursor");
      window.location = address;
    });
  });
  document.querySelectorAll(".tb-log tbody tr").forEach((row) => {
    row.addEventListener("click", (event) => {
      if (event.target.closest("a") || window.getSelection().toString()) return;
      const address = row.querySelector("a").href;
      if (event.metaKey || event.ctrlKey) window.open(address, "_blank");
      else window.location = address;
    });
  });
});
