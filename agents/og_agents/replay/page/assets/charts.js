// Figures over time: both policies in each chart, outages shaded, a line at the moment shown.

const CHARTS = [
  ["in_time_share", "in time", percent, (value) => value * 100, "%"],
  ["first_token_p95_ms", "first token p95", seconds, (value) => value / 1000, "s"],
  ["refused_share", "refused first tries", percent, (value) => value * 100, "%"],
  ["latency_p95_ms", "answer p95", seconds, (value) => value / 1000, "s"],
  ["usd_per_hour", "cost, $ an hour", dollars, (value) => value, "$"],
  ["unserved", "unserved", percent, (value) => value * 100, "%"],
  ["unverified", "unverified", percent, (value) => value * 100, "%"],
  ["exposure", "exposure", percent, (value) => value * 100, "%"],
  ["n_eff", "effective independent nodes", plain, (value) => value, ""],
];

class Charts {
  /** `seek` is called with the row that is clicked. */
  constructor(holder, data, seek) {
    this.data = data;
    this.sides = [];
    this.row = 0;
    this.items = CHARTS.map(([key, title, words, scale, unit]) => {
      const area = make("div", { class: "chart", role: "img", "aria-label": `Chart over time: ${title}` });
      const values = make("span", { class: "values" });
      holder.append(make("figure", { "data-metric": key }, make("figcaption", { title: data.meanings[key] ?? null }, make("b", {}, title), values), area));
      const chart = echarts.init(area, null, { renderer: "canvas" });
      chart.getZr().on("click", (event) => {
        if (!chart.containPixel("grid", [event.offsetX, event.offsetY])) return;
        seek(Math.round(chart.convertFromPixel({ seriesIndex: 0 }, [event.offsetX, event.offsetY])[0] / data.step_h));
      });
      return { key, title, words, scale, unit, values, area, chart };
    });
  }

  /** Draw these policies. */
  draw(sides) {
    this.sides = sides;
    for (const item of this.items) item.chart.setOption(this.option(item), { notMerge: true });
    this.show(this.row);
  }

  option({ key, scale, unit, words }) {
    const { data, sides } = this;
    const soft = ink("soft"), hours = data.steps * data.step_h;
    const label = { color: soft, fontSize: 11 };
    const bands = data.spans.map(([start, stop]) => [{ xAxis: start * data.step_h }, { xAxis: Math.min(stop * data.step_h, hours) }]);
    const series = sides.map((policy, side) => ({
      name: policy.name, type: "line", showSymbol: false, connectNulls: false, z: 3 - side,
      data: policy.metrics[key].map((value, step) => [(step + 1) * data.step_h, value === null ? null : scale(value)]),
      lineStyle: { width: 1.8, color: ink(side ? "second" : "first"), type: side ? [5, 3] : "solid" },
      itemStyle: { color: ink(side ? "second" : "first") },
    }));
    const apart = { silent: true, symbol: "none", animation: false, label: { show: false } };
    series.push({
      id: "outages", type: "line", data: [[0, null]], silent: true,
      markArea: { silent: true, itemStyle: { color: ink("band") }, data: bands },
    }, {
      id: "now", type: "line", data: [[0, null]], silent: true,
      markLine: { ...apart, lineStyle: { color: ink("focus"), width: 2, type: "solid" }, data: [{ xAxis: 0 }] },
    });
    return {
      animation: false,
      grid: { left: 48, right: 12, top: 12, bottom: 24, outerBoundsMode: "none" },
      tooltip: {
        trigger: "axis", confine: true, backgroundColor: ink("paper"), borderColor: ink("line"),
        textStyle: { color: ink("ink"), fontSize: 12 },
        formatter: (items) => this.tip(items, key, words),
      },
      xAxis: {
        type: "value", min: 0, max: hours, interval: hours > 12 ? hours / 4 : undefined,
        axisLabel: { ...label, formatter: (hour) => clockAt(data, hour / data.step_h), hideOverlap: true, alignMinLabel: "left", alignMaxLabel: "right" },
        axisLine: { lineStyle: { color: soft } }, splitLine: { show: false },
      },
      yAxis: {
        type: "value", min: 0, max: unit === "%" ? ({ max }) => (max > 75 ? 100 : null) : null, splitNumber: unit === "%" ? 5 : 3,
        axisLabel: { ...label, formatter: (value) => (unit === "$" ? `$${value}` : `${value}${unit && ` ${unit}`}`) },
        splitLine: { lineStyle: { color: ink("line"), opacity: 0.6 } },
      },
      series,
    };
  }

  tip(items, key, words) {
    if (!items.length) return "";
    const row = Math.round(items[0].value[0] / this.data.step_h);
    const rows = this.sides.map((policy) => `${escaped(policy.name)}: <b>${words(figure(policy, key, row))}</b>`);
    return [`${clockAt(this.data, row)} UTC`, ...rows].join("<br>");
  }

  /** Move the line to a moment and write the figures of its step. */
  show(row) {
    this.row = row;
    for (const { key, title, words, values, area, chart } of this.items) {
      const now = this.sides.map((policy) => `${policy.name} ${row ? words(figure(policy, key, row)) : "–"}`).join(", ");
      area.setAttribute("aria-label", `Chart over time: ${title}; at ${clockAt(this.data, row)} UTC ${now}`);
      chart.setOption({ series: [{ id: "now", markLine: { data: [{ xAxis: row * this.data.step_h }] } }] }, { lazyUpdate: true });
      values.replaceChildren(...this.sides.flatMap((policy, side) => [
        make("i", { class: side ? "swatch second" : "swatch" }),
        make("span", { "data-side": side }, row ? words(figure(policy, key, row)) : "–"),
      ]));
    }
  }

  resize() {
    for (const { area, chart } of this.items) if (area.clientWidth) chart.resize();
  }
}
