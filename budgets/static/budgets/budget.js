// A budget's page: the burn-down, the form's fields that fit the scope, and what a cap had refused.
(() => {
  const RANGE = "Four of five outcomes";
  const SUBJECTS = ["workspace", "project", "member", "api_key"];

  const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const money = (value) =>
    new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" }).format(value);
  const axisMoney = (value) =>
    new Intl.NumberFormat("en-US", {
      style: "currency",
      currency: "USD",
      notation: "compact",
      maximumSignificantDigits: 3,
    }).format(value);

  let chart = null;

  const line = (label, data, more) => ({
    label,
    data,
    pointRadius: 0,
    pointHoverRadius: 4,
    borderWidth: 2,
    borderColor: colour("--tb-series-0"),
    backgroundColor: colour("--tb-series-0"),
    tension: 0,
    ...more,
  });

  const options = (data) => ({
    responsive: true,
    maintainAspectRatio: false,
    animation: false,
    interaction: { mode: "index", intersect: false },
    scales: {
      x: {
        grid: { display: false },
        border: { color: colour("--tb-line") },
        ticks: { color: colour("--tb-quiet"), maxRotation: 0, autoSkipPadding: 16 },
      },
      y: {
        suggestedMin: 0,
        suggestedMax: data.limit,
        border: { display: false },
        grid: {
          color: (context) =>
            context.tick.value === 0 ? colour("--tb-bad") : colour("--tb-line"),
        },
        ticks: { color: colour("--tb-quiet"), callback: axisMoney, maxTicksLimit: 6, padding: 8 },
      },
    },
    plugins: {
      legend: {
        display: true,
        position: "bottom",
        align: "start",
        labels: {
          color: colour("--tb-body"),
          boxWidth: 18,
          boxHeight: 1,
          filter: (item) => item.text !== "",
        },
      },
      tooltip: {
        filter: (item) => item.dataset.label !== "",
        backgroundColor: colour("--tb-tooltip"),
        titleColor: colour("--tb-tooltip-text"),
        bodyColor: colour("--tb-tooltip-text"),
        footerColor: colour("--tb-tooltip-text"),
        callbacks: {
          title: (items) => (items.length ? data.titles[items[0].dataIndex] : ""),
          label: (item) =>
            item.dataset.label === RANGE
              ? ` ${RANGE}  ${money(data.low[item.dataIndex])} to ${money(item.raw)}`
              : ` ${item.dataset.label}  ${money(item.raw)}`,
          footer: (items) =>
            items.length && data.left[items[0].dataIndex] !== null
              ? `Spent that day  ${data.spent[items[0].dataIndex]}`
              : "",
        },
      },
    },
  });

  const draw = () => {
    chart?.destroy();
    chart = null;
    const source = document.getElementById("tb-burn-down-data");
    if (!source || typeof Chart === "undefined") return;
    const data = JSON.parse(source.textContent);
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    Chart.defaults.font.size = 12;
    const fill = { target: "origin", above: "rgb(59 111 182 / 0.12)", below: "rgb(207 59 48 / 0.15)" };
    const quiet = colour("--tb-quiet");
    const edge = { borderWidth: 0, pointHoverRadius: 0, backgroundColor: "rgb(128 128 128 / 0.18)" };
    chart = new Chart(document.getElementById("tb-burn-down"), {
      type: "line",
      data: {
        labels: data.labels,
        datasets: [
          line("Left of the limit", data.left, { fill }),
          line("Expected", data.expected, { borderDash: [5, 5], borderColor: quiet }),
          line(RANGE, data.high, { ...edge, fill: "+1" }),
          line("", data.low, edge),
        ],
      },
      options: options(data),
    });
  };

  const rowOf = (name) => {
    const field = document.querySelector(`#id_${name}`);
    return field?.closest(".form-row, .field-row, [class*='field-']") ?? null;
  };

  // Only the field that the scope has, and whom its alerts may tell.
  const fitToScope = (scope) => {
    for (const name of SUBJECTS) {
      const row = rowOf(name);
      if (row) row.hidden = name !== scope.value;
    }
    const member = rowOf("tell_member");
    if (member) member.hidden = !["member", "api_key"].includes(scope.value);
  };

  const preview = async (button) => {
    const form = button.closest("form");
    const place = document.getElementById("tb-refused");
    const body = new FormData(form);
    button.disabled = true;
    try {
      const response = await fetch(button.dataset.address, {
        method: "POST",
        body,
        credentials: "same-origin",
      });
      place.innerHTML = response.ok && !response.redirected ? await response.text() : "";
      if (!place.innerHTML) place.textContent = "This could not be looked up. Try again.";
    } catch {
      place.textContent = "The server cannot be reached. Try again.";
    } finally {
      button.disabled = false;
    }
  };

  document.addEventListener("DOMContentLoaded", () => {
    const scope = document.querySelector("select#id_scope");
    if (scope) {
      fitToScope(scope);
      scope.addEventListener("change", () => fitToScope(scope));
    }
    const button = document.getElementById("tb-preview");
    button?.addEventListener("click", () => preview(button));
    if (!document.getElementById("tb-burn-down")) return;
    window.addEventListener("load", draw);
    new MutationObserver(draw).observe(document.documentElement, {
      attributes: true,
      attributeFilter: ["class"],
    });
  });
})();
