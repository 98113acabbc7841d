// Draws the explorer's chart from the data beside it. A click on a point is a click on its cell.
(() => {
  let chart = null;

  const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colourOf = (series) => {
    if (series.kind === "other") return colour("--tb-other");
    if (series.kind === "before") return colour("--tb-quiet");
    return colour(`--tb-series-${series.colour}`);
  };
  const faint = (value) => `color-mix(in oklab, ${value} 45%, transparent)`;
  const shortened = (name, length) =>
    name.length > length ? `${name.slice(0, length - 1)}…` : name;

  const compact = (value) =>
    new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 }).format(value);
  const ticks = {
    USD: (value) => `${value < 0 ? "-" : ""}$${Math.abs(value) < 1 ? Number(Math.abs(value).toPrecision(3)) : compact(Math.abs(value))}`,
    ratio: (value) => `${Number((value * 100).toPrecision(3))} %`,
    milliseconds: (value) => (value < 1000 ? `${value} ms` : `${Number((value / 1000).toPrecision(3))} s`),
  };

  const isRound = (data) => data.type === "doughnut";
  const isLine = (data) => data.type === "line" || data.type === "area";
  const isStacked = (data) => data.type === "stacked" || data.type === "area";

  const lineOf = (data, series, own, place) => ({
    type: "line",
    borderColor: own,
    backgroundColor: data.type === "area" && series.kind !== "before" ? faint(own) : own,
    fill: data.type === "area" && series.kind !== "before" ? (place ? "-1" : "origin") : false,
    borderWidth: 2,
    borderDash: series.kind === "before" ? [5, 4] : [],
    pointRadius: data.labels.length > 40 ? 0 : 2,
    pointHoverRadius: 4,
    cubicInterpolationMode: "monotone",
    spanGaps: false,
    stack: series.kind === "before" ? "before" : "now",
    order: series.kind === "before" ? -1 : 0,
  });

  const barOf = (data, series, own) => ({
    backgroundColor: own,
    hoverBackgroundColor: own,
    borderColor: colour("--tb-surface"),
    borderWidth: isStacked(data) ? (data.horizontal ? { right: 1 } : { top: 1 }) : 0,
    borderRadius: 2,
    maxBarThickness: data.horizontal ? 22 : 44,
    categoryPercentage: 0.86,
    barPercentage: isStacked(data) ? 1 : 0.94,
    stack: isStacked(data) ? "now" : undefined,
  });

  const datasetOf = (data, series, place) => {
    const own = colourOf(series);
    const base = { label: series.name, data: series.values, texts: series.texts, cells: series.cells };
    if (isLine(data) || (series.kind === "before" && !data.horizontal)) {
      return { ...base, ...lineOf(data, series, own, place) };
    }
    const before = series.kind === "before" ? { stack: "before", backgroundColor: faint(own) } : {};
    return { ...base, ...barOf(data, series, own), ...before };
  };

  // A doughnut has one ring: of the only series its parts, of several what each comes to.
  const partsOf = (data) => {
    const now = data.series.filter((series) => series.kind !== "before");
    if (now.length === 1) {
      return now[0].values.map((value, i) => ({
        name: data.titles[i], value, text: now[0].texts[i], cell: now[0].cells[i],
        own: i < 10 && i !== data.others_at ? colour(`--tb-series-${i}`) : colour("--tb-other"),
      }));
    }
    return now.map((series) => ({
      name: series.name,
      value: series.total_value,
      text: series.total,
      cell: series.total_cell,
      own: colourOf(series),
    }));
  };

  const open = (cell) => {
    if (!cell) return;
    const row = document.querySelector("#tb-explorer-table tbody")?.rows[cell[0]];
    row?.cells[cell[1]]?.querySelector("a")?.click();
  };

  const tooltip = (data) => ({
    mode: isRound(data) ? "nearest" : "index",
    axis: data.horizontal ? "y" : "x",
    intersect: isRound(data),
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
    filter: (item) => item.dataset.texts[item.dataIndex] !== "",
    callbacks: {
      title: (items) => {
        if (!items.length) return "";
        return isRound(data) ? shortened(items[0].label, 48) : shortened(data.titles[items[0].dataIndex], 60);
      },
      label: (item) => {
        const text = item.dataset.texts[item.dataIndex];
        return isRound(data) ? ` ${text}` : ` ${shortened(item.dataset.label, 36)}  ${text}`;
      },
      footer: (items) => {
        const total = items.length && !isRound(data) ? data.totals[items[0].dataIndex] : "";
        return total ? `Total  ${total}` : "";
      },
    },
  });

  const options = (data) => {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const figures = {
      stacked: isStacked(data),
      beginAtZero: true,
      border: { display: false },
      grid: { color: colour("--tb-line") },
      ticks: { color: colour("--tb-quiet"), callback: ticks[data.unit] ?? compact, maxTicksLimit: 6, padding: 8 },
    };
    const names = {
      stacked: isStacked(data),
      grid: { display: false },
      border: { color: colour("--tb-line") },
      ticks: {
        color: colour("--tb-quiet"),
        maxRotation: 0,
        autoSkip: !data.horizontal,
        autoSkipPadding: 16,
        callback(value) {
          return shortened(this.getLabelForValue(value), data.horizontal && window.innerWidth > 700 ? 34 : 16);
        },
      },
    };
    const scales = data.horizontal ? { x: figures, y: names } : { x: names, y: figures };
    return {
      responsive: true,
      maintainAspectRatio: false,
      animation: calm ? false : { duration: 250 },
      indexAxis: data.horizontal ? "y" : "x",
      interaction: { mode: isRound(data) ? "nearest" : "index", axis: data.horizontal ? "y" : "x", intersect: isRound(data) },
      onClick: (event, elements, drawn) => {
        const exact = drawn.getElementsAtEventForMode(event, "nearest", { intersect: true }, false)[0];
        const hit = exact ?? elements[0];
        if (hit) open(drawn.data.datasets[hit.datasetIndex].cells?.[hit.index]);
      },
      onHover: (event, elements) => {
        event.native.target.style.cursor = elements.length ? "pointer" : "default";
      },
      scales: isRound(data) ? {} : scales,
      cutout: isRound(data) ? "62%" : undefined,
      plugins: { legend: { display: false }, tooltip: tooltip(data) },
    };
  };

  const contents = (data) => {
    if (!isRound(data)) {
      return { labels: data.labels, datasets: data.series.map((series, place) => datasetOf(data, series, place)) };
    }
    const parts = partsOf(data).filter((part) => part.value > 0);
    return {
      labels: parts.map((part) => part.name),
      datasets: [{
        data: parts.map((part) => part.value),
        texts: parts.map((part) => part.text),
        cells: parts.map((part) => part.cell),
        backgroundColor: parts.map((part) => part.own),
        borderColor: colour("--tb-surface"),
        borderWidth: 2,
      }],
    };
  };

  const legendItem = (name, own, text, toggle) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    button.title = text ? `${name}: ${text}` : name;
    const swatch = document.createElement("i");
    swatch.style.backgroundColor = own;
    const words = document.createElement("span");
    words.textContent = name;
    button.append(swatch, words);
    button.addEventListener("click", () => button.setAttribute("aria-pressed", String(toggle())));
    item.append(button);
    return item;
  };

  const legend = (data) => {
    const list = document.getElementById("tbx-legend");
    if (isRound(data)) {
      const ring = chart.data.datasets[0];
      list.replaceChildren(...chart.data.labels.map((name, i) =>
        legendItem(name, ring.backgroundColor[i], ring.texts[i], () => {
          chart.toggleDataVisibility(i);
          chart.update();
          return chart.getDataVisibility(i);
        })));
      return;
    }
    // Unknown all along is nothing to see: the table says so.
    const seen = (series) => series.texts.some((text) => text !== "");
    const several = data.series.length > 1 ? [...data.series.entries()] : [];
    list.replaceChildren(...several.filter(([, series]) => seen(series)).map(([i, series]) =>
      legendItem(series.name, colourOf(series), series.total, () => {
        const shown = !chart.isDatasetVisible(i);
        chart.setDatasetVisibility(i, shown);
        chart.update();
        return shown;
      })));
  };

  const draw = () => {
    chart?.destroy();
    chart = null;
    const source = document.getElementById("tbx-chart-data");
    const canvas = document.getElementById("tbx-chart");
    if (!source || !canvas || typeof Chart === "undefined") return;
    const data = JSON.parse(source.textContent);
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    Chart.defaults.font.size = 12;
    if (data.horizontal) {
      const bars = data.labels.length * (data.type === "bar" ? data.series.length : 1);
      canvas.parentElement.style.height = `${Math.max(160, Math.min(620, 46 + bars * 26))}px`;
    }
    const type = isRound(data) ? "doughnut" : isLine(data) ? "line" : "bar";
    chart = new Chart(canvas, { type, data: contents(data), options: options(data) });
    legend(data);
  };

  window.addEventListener("load", draw);
  document.addEventListener("tbx:shown", draw);
  document.addEventListener("DOMContentLoaded", () => {
    new MutationObserver(draw).observe(document.documentElement, {
      attributes: true,
      attributeFilter: ["class"],
    });
  });
})();
