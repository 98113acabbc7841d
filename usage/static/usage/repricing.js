// The page of a new re-pricing follows the account that is chosen.
document.addEventListener("DOMContentLoaded", () => {
  const account = document.querySelector("[data-account]");
  account?.addEventListener("change", () => {
    const address = new URL(window.location.href);
    address.search = new URLSearchParams({ account: account.value }).toString();
    window.location = address;
  });
});
