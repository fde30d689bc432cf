// The data of the page, and its words.

const TYPES = { u1: Uint8Array, u2: Uint16Array, i2: Int16Array, f4: Float32Array };
const FULL = 65535;
const FINE = 1000;
const GREY = 1, BLIND = 2;
const ROLES = [[1, "verifier"], [2, "store"], [4, "gateway"]];

/** The typed array [rows, columns] of what the payload packs; `at(row)` is a row of it. */
async function unpack({ type, shape, data }) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const values = new TYPES[type](await new Response(stream).arrayBuffer());
  const columns = shape[1];
  return { values, at: (row) => values.subarray(row * columns, (row + 1) * columns) };
}

/** The payload with everything packed unpacked. */
async function load() {
  const data = JSON.parse(document.getElementById("data").textContent);
  const open = async (holder) => {
    for (const [key, value] of Object.entries(holder)) {
      if (value && value.data && value.type) holder[key] = await unpack(value);
    }
  };
  await open(data);
  for (const policy of data.policies) {
    await open(policy);
    policy.flows = byMoment(policy.flows, data.steps);
  }
  data.step_h = data.step_s / 3600;
  return data;
}

/** Lists of [gateway's site, serving site, share] for every moment. */
function byMoment(flows, steps) {
  const [moment, from, to, share] = [0, 1, 2, 3].map((row) => flows.at(row));
  const lists = Array.from({ length: steps + 1 }, () => []);
  moment.forEach((row, k) => lists[row].push([from[k], to[k], share[k] / FULL]));
  return lists;
}

const escaped = (text) => String(text).replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);

/** An element with attributes and children; texts are texts, never markup. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "click") element.addEventListener("click", value);
    else if (value !== false && value !== null) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

const grouped = (value) => Math.round(value).toLocaleString("en-US");
const percent = (value) => (value === null ? "–" : `${(value * 100).toFixed(value > 0 && value < 0.0995 ? 2 : 1)} %`);
const seconds = (ms) => (ms === null ? "–" : `${(ms / 1000).toFixed(2)} s`);
const dollars = (value) => `$${value.toFixed(value < 1000 ? 2 : 0)}`;
const versus = (due) => `${grouped(Math.abs(due))} ${due < 0 ? "fewer" : "more"} than with nothing broken`;
const signed = (value) => (value ? `${value > 0 ? "+" : "−"}${Math.abs(value).toFixed(2)}` : "0");
const steered = (bias) => (
  `steered ${bias > 0 ? "to" : "away from"}: weight × ${Math.exp(bias).toPrecision(3)} (bias ${signed(bias)})`);
const plain = (value) => (value === null ? "–" : value.toFixed(2));

/** Time of day at a moment, as hh:mm; from the second day on with the day. */
function clockAt(data, row) {
  const minutes = Math.round((data.start_hour_utc + row * data.step_h) * 60);
  const two = (value) => String(value).padStart(2, "0");
  const day = Math.floor(minutes / 1440);
  return `${day ? `day ${day + 1} ` : ""}${two(Math.floor(minutes / 60) % 24)}:${two(minutes % 60)}`;
}

/** A figure of the step that ended at a moment; null at the start, where there is none yet. */
const figure = (policy, name, row) => (row > 0 ? policy.metrics[name][row - 1] : null);

/** Share of what was sent to a site that it refused, as it was last shown; null where no replica is or comes. */
const refusedAt = (policy, row, site) => (
  policy.warm.at(row)[site] + policy.loading.at(row)[site] ? policy.refused.at(row)[site] / FINE : null);

/** Logarithm of what the router multiplies a site's weight by. */
const biasAt = (policy, row, site) => (policy.steer ? policy.steer.at(row)[site] / FINE : 0);

/** Outages that act on the step that ended at a moment. */
const active = (data, row) => data.outages.filter((outage) => outage.start <= row && row < outage.stop);

/** A colour of the style sheet, as it is now. */
const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
