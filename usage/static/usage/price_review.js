// The review of drafts: ticks that tick others, and how many prices a button is about.
document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("tb-review");
  if (!form) return;
  const boxes = [...form.querySelectorAll('input[name="price"]')];
  const all = form.querySelector("[data-all]");
  const buttons = form.querySelectorAll("button[name=decision]");
  const within = (group) => [...group.querySelectorAll('input[name="price"]')];

  const refresh = () => {
    const everything = Boolean(all && all.checked);
    boxes.forEach((box) => (box.disabled = everything));
    const number = everything ? Number(form.elements.expected.value) : boxes.filter((box) => box.checked).length;
    form.querySelector("[data-count]").textContent = number ? `${number.toLocaleString("en")} chosen` : "";
    buttons.forEach((button) => (button.disabled = number === 0));
    form.querySelectorAll("[data-whole]").forEach((whole) => show(whole, within(whole.closest("[data-group]")), everything));
    show(form.querySelector("[data-page]"), boxes, everything);
  };
  const show = (box, those, everything) => {
    const ticked = those.filter((other) => other.checked).length;
    box.checked = everything || (ticked > 0 && ticked === those.length);
    box.indeterminate = !everything && ticked > 0 && ticked < those.length;
    box.disabled = everything;
  };

  form.addEventListener("change", (event) => {
    const { dataset, checked } = event.target;
    if ("page" in dataset) boxes.forEach((box) => (box.checked = checked));
    if ("whole" in dataset) within(event.target.closest("[data-group]")).forEach((box) => (box.checked = checked));
    refresh();
  });
  refresh();
});
