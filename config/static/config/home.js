// The dashboard's chart, and its quiet refresh while somebody looks at it.
(() => {
  const REFRESH_MILLISECONDS = 15000;
  const live = () => document.getElementById("tb-live");
  let chart = null;

  const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colourOf = (place) => colour(place === null ? "--tb-other" : `--tb-series-${place}`);

  const axisMoney = (value) => {
    if (value === 0) return "$0";
    if (!Number.isInteger(value)) {
      const cents = Number(value.toFixed(2));
      return `$${Math.abs(value - cents) < 1e-9 ? value.toFixed(2) : Number(value.toPrecision(3))}`;
    }
    const format = { style: "currency", currency: "USD", notation: "compact" };
    return new Intl.NumberFormat("en-US", { ...format, maximumSignificantDigits: 3 }).format(value);
  };

  const shortened = (name, length) =>
    name.length > length ? `${name.slice(0, length - 1)}…` : name;

  const datasetOf = (series) => ({
    label: series.name,
    data: series.values,
    texts: series.texts,
    backgroundColor: colourOf(series.place),
    hoverBackgroundColor: colourOf(series.place),
    borderColor: colour("--tb-surface"),
    hoverBorderColor: colour("--tb-surface"),
    borderWidth: { top: 1 },
    borderRadius: 2,
    maxBarThickness: 44,
    categoryPercentage: 0.86,
    barPercentage: 1,
  });

  const tooltip = (data) => ({
    mode: "index",
    intersect: false,
    position: "nearest",
    backgroundColor: colour("--tb-tooltip"),
    titleColor: colour("--tb-tooltip-text"),
    bodyColor: colour("--tb-tooltip-text"),
    footerColor: colour("--tb-tooltip-text"),
    padding: 10,
    cornerRadius: 8,
    boxWidth: 8,
    boxHeight: 8,
    boxPadding: 4,
    itemSort: (a, b) => b.raw - a.raw,
    filter: (item) => item.raw !== 0,
    callbacks: {
      title: (items) => (items.length ? data.titles[items[0].dataIndex] : ""),
      label: (item) =>
        ` ${shortened(item.dataset.label, 36)}  ${item.dataset.texts[item.dataIndex]}`,
      labelColor: (item) => ({
        backgroundColor: item.dataset.backgroundColor,
        borderColor: item.dataset.backgroundColor,
      }),
      footer: (items) => (items.length ? `Total  ${data.totals[items[0].dataIndex]}` : ""),
    },
  });

  const options = (data, animated) => ({
    responsive: true,
    maintainAspectRatio: false,
    animation: animated ? { duration: 250 } : false,
    interaction: { mode: "index", intersect: false },
    onClick: (event, elements) => {
      if (elements.length) window.location = data.links[elements[0].index];
    },
    onHover: (event, elements) => {
      event.native.target.style.cursor = elements.length ? "pointer" : "default";
    },
    scales: {
      x: {
        stacked: true,
        grid: { display: false },
        border: { color: colour("--tb-line") },
        ticks: { color: colour("--tb-quiet"), maxRotation: 0, autoSkipPadding: 16 },
      },
      y: {
        stacked: true,
        beginAtZero: true,
        border: { display: false },
        grid: { color: colour("--tb-line") },
        ticks: { color: colour("--tb-quiet"), callback: axisMoney, maxTicksLimit: 6, padding: 8 },
      },
    },
    plugins: { legend: { display: false }, tooltip: tooltip(data) },
  });

  const legend = (data) => {
    const list = document.getElementById("tb-legend");
    list.replaceChildren(
      ...data.datasets.map((series) => {
        const item = document.createElement("li");
        const label = document.createElement(series.link ? "a" : "span");
        if (series.link) label.href = series.link;
        const swatch = document.createElement("i");
        swatch.style.backgroundColor = colourOf(series.place);
        const name = document.createElement("span");
        name.textContent = series.name;
        item.title = `${series.name}: ${series.total}`;
        label.append(swatch, name);
        item.append(label);
        return item;
      }),
    );
  };

  const draw = ({ animated }) => {
    chart?.destroy();
    chart = null;
    const source = document.getElementById("tb-spend-data");
    if (!source || typeof Chart === "undefined") return;
    const data = JSON.parse(source.textContent);
    if (!data) return;
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    Chart.defaults.font.size = 12;
    chart = new Chart(document.getElementById("tb-spend"), {
      type: "bar",
      data: { labels: data.labels, datasets: data.datasets.map(datasetOf) },
      options: options(data, animated),
    });
    legend(data);
  };

  // What the server sent last: the page's own copy is changed by the chart.
  let shown = null;

  const isBeingUsed = () =>
    document.querySelector("#tb-spend:hover, #tb-live select:focus") !== null;

  const refresh = async () => {
    if (document.visibilityState !== "visible" || isBeingUsed()) return;
    let fresh;
    try {
      const response = await fetch(window.location.href, { credentials: "same-origin" });
      if (!response.ok || response.redirected) return;
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      fresh = page.getElementById("tb-live");
    } catch {
      return; // the server is away for a moment; the next turn asks again
    }
    if (!fresh || figuresOf(fresh) === shown) return;
    shown = figuresOf(fresh);
    live().replaceWith(fresh);
    draw({ animated: false });
  };

  // Without the foot line, whose clock always differs.
  const figuresOf = (region) =>
    [...region.children]
      .filter((child) => !child.matches(".tb-foot"))
      .map((child) => child.innerHTML)
      .join();

  document.addEventListener("DOMContentLoaded", () => {
    // On the document: what stands in the region is replaced when it refreshes.
    document.addEventListener("change", (event) => {
      const form = event.target.closest("[data-submit-on-change]");
      if (!form) return;
      if (event.target.name === "account" && form.elements.workspace) {
        form.elements.workspace.value = "";
      }
      form.requestSubmit();
    });
    if (!live()) return;
    shown = figuresOf(live());
    window.addEventListener("load", () => draw({ animated: true }));
    new MutationObserver(() => draw({ animated: false })).observe(document.documentElement, {
      attributes: true,
      attributeFilter: ["class"],
    });
    window.setInterval(refresh, REFRESH_MILLISECONDS);
  });
})();
