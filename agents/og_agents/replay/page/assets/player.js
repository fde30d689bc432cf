// Time, the choice of policies, and the keyboard.

const byId = (id) => document.getElementById(id);

const HEAD = [
  ["in_time_share", percent], ["refused_share", percent], ["first_token_mean_ms", seconds], ["first_token_p95_ms", seconds],
  ["usd_per_hour", (value) => (value === null ? "–" : `${dollars(value)}/h`)], ["exposure", percent],
];

class Player {
  constructor(data) {
    this.data = data;
    this.row = 0;
    this.playing = false;
    this.due = 0;
    this.sides = data.policies.slice(0, 2);
    registerLand(data.land);
    this.panels = [...document.querySelectorAll(".side")].slice(0, this.sides.length).map((holder, side) => this.panel(holder, side));
    document.querySelectorAll(".side").forEach((holder, side) => { holder.hidden = side >= this.sides.length; });
    byId("maps").classList.toggle("single", this.sides.length < 2);
    byId("lines").append(...data.lines.map((line) => make("p", {}, line)));
    this.charts = new Charts(byId("charts"), data, (row) => this.seek(row));
    this.events = new Events(data, (row) => this.seek(row));
    this.legend();
    this.bands();
    this.listen();
    for (const panel of this.panels) panel.map = new FleetMap(panel.area, data);
    this.panels.forEach(({ map }, side) => {
      map.moved = (center) => this.panels[1 - side]?.map.look(map.zoom, center);
    });
    this.redraw();
  }

  panel(holder, side) {
    const choice = make("select", { "aria-label": side ? "Second policy" : "First policy" });
    choice.append(...this.data.policies.map((policy, number) => make("option", { value: number }, policy.name)));
    choice.value = String(side);
    choice.addEventListener("change", () => {
      this.sides[side] = this.data.policies[Number(choice.value)];
      this.redraw();
    });
    const area = make("div", { class: "map", role: "img", tabindex: "0" });
    const now = make("dl", { class: "now" }), states = make("p", { class: "states" }), whole = make("p", { class: "whole" });
    holder.append(make(
      "div", { class: "top" }, make("i", { class: side ? "swatch second" : "swatch" }), choice,
      make("button", { type: "button", "aria-label": "Zoom in", click: () => this.zoom(1.6, side) }, "+"),
      make("button", { type: "button", "aria-label": "Zoom out", click: () => this.zoom(1 / 1.6, side) }, "−"),
    ), area, states, now, whole);
    return { area, now, states, whole };
  }

  /** Both maps nearer or farther, centred as the map of a side is. */
  zoom(factor, side) {
    const { map } = this.panels[side];
    const zoom = Math.min(Math.max(map.zoom * factor, 1), 12);
    for (const panel of this.panels) panel.map.look(zoom < 1.1 ? 1 : zoom, map.center);
  }

  /** Arrow keys on a map that is nearer than the whole move it; says whether they did. */
  pan({ target, key }) {
    const panel = this.panels.find(({ area }) => area === target);
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key];
    if (!panel || !way || panel.map.zoom === 1) return false;
    const { zoom } = panel.map;
    const [lon, lat] = panel.map.middle();
    for (const { map } of this.panels) map.look(zoom, [lon + (way[0] * 40) / zoom, lat + (way[1] * 20) / zoom]);
    return true;
  }

  legend() {
    const shapes = {
      circle: "M8,2A6,6 0 1 1 7.99,2Z", diamond: "M8,1L15,8L8,15L1,8Z", rect: "M2.5,2.5H13.5V13.5H2.5Z", "triangle-down": "M1,2H15L8,15Z",
      cross: "M4,1L8,5L12,1L15,4L11,8L15,12L12,15L8,11L4,15L1,12L5,8L1,4Z", triangle: "M8,3L13,12H3Z",
      ring: "M8,1.5A6.5,6.5 0 1 1 7.99,1.5Z", question: "M8,1A7,7 0 1 1 7.99,1Z", up: "M8,1L14,8H10.5V15H5.5V8H2Z", down: "M8,15L14,8H10.5V1H5.5V8H2Z",
      plus: "M6,1h4v5h5v4h-5v5h-4v-5h-5v-4h5z", small: "M8,5A3.2,3.2 0 1 1 7.99,5Z", square: "M5,5H11V11H5Z", line: "M0,6.5H16V9.5H0Z",
    };
    const entry = (name, shape, color) => {
      const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      picture.setAttribute("viewBox", "0 0 16 16");
      picture.setAttribute("aria-hidden", "true");
      path.setAttribute("d", shapes[shape]);
      path.style.fill = color;
      if (shape !== "line") path.style.stroke = "var(--ink)";
      if (shape === "ring") Object.assign(path.style, { strokeDasharray: "3 2", strokeWidth: "1.6" });
      picture.append(path);
      if (shape === "question") {
        const mark = document.createElementNS("http://www.w3.org/2000/svg", "text");
        for (const [key, value] of Object.entries({ x: 8, y: 12, "text-anchor": "middle", "font-size": 11, "font-weight": "bold" })) mark.setAttribute(key, value);
        mark.style.fill = "var(--ink)";
        mark.textContent = "?";
        picture.append(mark);
      }
      return make("span", {}, picture, name);
    };
    const { looks, colors, marks, policies } = this.data;
    byId("legend").append(
      ...[...looks].reverse().map(({ name, symbol, color }) => entry(name, symbol, color)),
      entry("gateway", "triangle", "var(--ink)"), entry("store", "square", "var(--ink)"), entry("verifier", "small", "var(--ink)"),
      entry("users", "plus", colors.users), entry("shared outage", "line", "var(--alarm)"),
      entry(marks.grey, "ring", "none"), entry(marks.blind, "question", "var(--paper)"),
      ...(policies.some(({ steer }) => steer) ? [entry("", "up", "var(--focus)"), entry(marks.steered, "down", "var(--alarm)")] : []),
      make("span", {}, "size and width: traffic"),
    );
  }

  bands() {
    const { spans, steps } = this.data;
    byId("bands").append(...spans.map(([start, stop]) => {
      const band = make("i");
      band.style.left = `${(100 * start) / steps}%`;
      band.style.width = `${(100 * (Math.min(stop, steps) - start)) / steps}%`;
      return band;
    }));
  }

  listen() {
    const scrub = byId("scrub");
    scrub.max = this.data.steps;
    scrub.addEventListener("input", () => this.seek(Number(scrub.value)));
    scrub.addEventListener("keydown", (event) => this.scrubKey(event));
    byId("play").addEventListener("click", () => this.toggle());
    byId("back").addEventListener("click", () => this.seek(this.row - 1));
    byId("forward").addEventListener("click", () => this.seek(this.row + 1));
    byId("earlier").addEventListener("click", () => this.outage(-1));
    byId("later").addEventListener("click", () => this.outage(1));
    byId("table").addEventListener("toggle", () => this.table());
    document.addEventListener("keydown", (event) => this.key(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolor());
    let width = innerWidth;
    addEventListener("resize", () => {
      if (innerWidth === width) return;
      width = innerWidth;
      for (const { map } of this.panels) map.resize();
      this.charts.resize();
    });
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
      setInterval(() => this.panels.forEach(({ map }) => map.flash(!map.bright)), 600);
    }
  }

  recolor() {
    for (const { map } of this.panels) map.restyle();
    this.charts.draw(this.sides);
  }

  redraw() {
    this.charts.draw(this.sides);
    this.events.draw(this.sides);
    this.panels.forEach(({ whole }, side) => whole.replaceChildren(...this.totals(this.sides[side])));
    this.seek(this.row);
  }

  /** Arrow keys anywhere but where they have a meaning of their own; Space anywhere but on what it presses. */
  key(event) {
    const at = event.target.tagName;
    if (event.ctrlKey || event.altKey || event.metaKey || ["SELECT", "INPUT"].includes(at)) {
      if (!(at === "INPUT" && event.key === " ")) return;
    }
    const moves = { ArrowLeft: this.row - 1, ArrowRight: this.row + 1 };
    if (this.pan(event)) event.preventDefault();
    else if (event.key in moves) this.seek(moves[event.key]);
    else if (event.key === " " && !["BUTTON", "SUMMARY"].includes(at)) this.toggle();
    else return;
    event.preventDefault();
  }

  scrubKey(event) {
    const hour = Math.max(Math.round(1 / this.data.step_h), 1);
    const moves = { PageUp: hour, PageDown: -hour };
    if (!(event.key in moves)) return;
    this.seek(this.row + moves[event.key]);
    event.preventDefault();
  }

  /** To the beginning of the next outage, or of the one before. */
  outage(direction) {
    const starts = [...new Set(this.data.outages.map(({ start }) => start))];
    const next = direction > 0 ? starts.find((start) => start > this.row) : starts.reverse().find((start) => start < this.row);
    if (next !== undefined) this.seek(next);
  }

  toggle() {
    this.playing = !this.playing;
    byId("play").textContent = this.playing ? "Pause" : "Play";
    byId("play").setAttribute("aria-pressed", String(this.playing));
    if (!this.playing) return;
    if (this.row >= this.data.steps) this.seek(0);
    this.due = performance.now();
    requestAnimationFrame((time) => this.tick(time));
  }

  tick(time) {
    if (!this.playing) return;
    const wait = 1000 / Number(byId("speed").value);
    const passed = Math.floor((time - this.due) / wait);
    if (passed > 0) {
      this.due += passed * wait;
      this.seek(this.row + passed);
    }
    if (this.row >= this.data.steps) this.toggle();
    else requestAnimationFrame((later) => this.tick(later));
  }

  seek(row) {
    const { data } = this;
    const before = this.row;
    this.row = Math.min(Math.max(row, 0), data.steps);
    const time = `${clockAt(data, this.row)} UTC`;
    const scrub = byId("scrub");
    scrub.value = this.row;
    scrub.setAttribute("aria-valuetext", `${time}, step ${this.row} of ${data.steps}`);
    byId("clock").replaceChildren(time, make("span", {}, `step ${this.row} of ${data.steps}`));
    this.panels.forEach((panel, side) => this.showPanel(panel, this.sides[side]));
    this.charts.show(this.row);
    this.events.show(this.row);
    this.table();
    const broken = data.outages.filter(({ start }) => start > before && start <= this.row);
    if (broken.length) byId("announce").textContent = broken.map((outage) => titleOf(data, outage)).join("; ");
  }

  showPanel({ map, now, states }, policy) {
    const { data, row } = this;
    map.show(policy, row);
    const lost = row ? policy.metrics.lost_requests[row - 1] : 0;
    const at = (name) => figure(policy, name, row);
    const shown = [
      ["lost so far", grouped(lost)],
      ["demand", `${grouped(data.load_rps.at(row).reduce((sum, value) => sum + value, 0))}/s`],
      ["unserved", percent(at("unserved"))],
      ...HEAD.map(([key, words]) => [data.names[key], words(at(key)), data.meanings[key]]),
    ];
    now.replaceChildren(...shown.map(([name, value, meaning]) => (
      make("div", { title: meaning ?? null }, make("dt", {}, name), make("dd", { "data-figure": name }, value)))));
    const parts = countStates(data, policy, row).map(([name, count, state]) => make(state > 2 ? "b" : "span", {}, `${count} ${name}`));
    const marked = countMarks(data, policy, row).map((part) => `; ${part}`);
    states.replaceChildren("Sites: ", ...parts.flatMap((part, number) => (number ? [", ", part] : [part])), ...marked);
  }

  /** The figures of the whole replay. */
  totals({ totals, return: sum }) {
    const words = {
      lost: (value) => `${grouped(value)} requests lost`,
      due: versus,
      worst_hour_p95_ms: (value) => `worst hour's p95 ${seconds(value)}`,
      cost_usd: (value) => `$${grouped(value)}`,
    };
    const parts = Object.keys(words).filter((key) => (totals[key] ?? null) !== null).map((key) => words[key](totals[key]));
    if ((totals.recover_min ?? null) !== null) {
      parts.push(totals.recovered ? `recovered in ${grouped(totals.recover_min)} min` : "not recovered at the end");
    }
    return [parts.length ? `${this.data.scope}: ${parts.join(", ")}. ` : "", `Return ${sum.toFixed(2)}.`];
  }

  /** The sites of both policies in words, where the table is open. */
  table() {
    const details = byId("table");
    if (!details.open) return;
    const { data, row, sides } = this;
    const anySteered = sides.some(({ steer }) => steer);
    const columns = [["traffic", "number"], ["refused", "number"], ...(anySteered ? [["steered", "number"]] : []), ["roles", null]];
    const head = make("tr", {}, make("th", { scope: "col" }, "site"), ...sides.flatMap(({ name }) => [
      make("th", { scope: "col" }, name), ...columns.map(([title, kind]) => make("th", { scope: "col", class: kind }, title)),
    ]));
    const body = data.sites.map(({ name }, site) => make("tr", {}, make("th", { scope: "row" }, name), ...sides.flatMap((policy) => [
      make("td", {}, [data.looks[policy.look.at(row)[site]].name, ...marksOf(policy, row, site)].join(", ")),
      make("td", { class: "number" }, percent(policy.share.at(row)[site] / FULL)),
      make("td", { class: "number" }, percent(refusedAt(policy, row, site))),
      ...(anySteered ? [make("td", { class: "number" }, signed(biasAt(policy, row, site)))] : []),
      make("td", {}, rolesOf(policy, row, site)),
    ])));
    details.lastElementChild.replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
  }
}

load().then((data) => {
  new Player(data);
  document.body.dataset.ready = "yes";
}).catch((error) => {
  byId("trouble").textContent = `This page cannot be shown here: ${error.message}`;
  throw error;
});
