// The map of one policy: sites, users, traffic, and links between the sites of an outage.

const WEST = -170, SOUTH = -58, NORTH = 78;
const PATHS = {
  circle: "circle", diamond: "diamond", rect: "rect",
  "triangle-down": "path://M0,0L10,0L5,9Z",
  cross: "path://M2,0L5,3L8,0L10,2L7,5L10,8L8,10L5,7L2,10L0,8L3,5L0,2Z",
  plus: "path://M3.5,0h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5v-3h3.5z",
};
const ARROWS = { up: "path://M5,0L9,4.5H6.5V10H3.5V4.5H1Z", down: "path://M5,10L9,5.5H6.5V0H3.5V5.5H1Z" };
const BADGES = [[4, "gateway", "triangle", 0, -1], [2, "store", "rect", 0.87, 0.5], [1, "verifier", "circle", -0.87, 0.5]];

/** Longitude within one turn from the left edge of the map. */
const turned = (lon) => ((((lon - WEST) % 360) + 360) % 360) + WEST;

/** Land as a map of ECharts; what lies left of the edge is drawn at the right one too. */
function registerLand(rings) {
  const pairs = (ring, shift) => {
    const points = [];
    for (let i = 0; i < ring.length; i += 2) points.push([ring[i] + shift, ring[i + 1]]);
    return points;
  };
  const polygons = [];
  for (const ring of rings) {
    polygons.push([pairs(ring, 0)]);
    if (ring.some((value, i) => i % 2 === 0 && value < WEST)) polygons.push([pairs(ring, 360)]);
  }
  const land = { type: "Feature", properties: { name: "land" }, geometry: { type: "MultiPolygon", coordinates: polygons } };
  echarts.registerMap("land", { type: "FeatureCollection", features: [land] });
}

/** The end moved by a turn where that is the short way from the start. */
const nearby = (start, end) => [end[0] - 360 * Math.round((end[0] - start[0]) / 360), end[1]];

/** A line both ways round: where it leaves the map at one edge it comes in at the other. */
function lines(start, end, rest) {
  const near = nearby(start, end);
  const line = { coords: [start, near], ...rest };
  if (near[0] === end[0]) return [line];
  const shift = end[0] - near[0];
  return [line, { coords: [[start[0] + shift, start[1]], end], ...rest }];
}

/** Pairs of sites that join all of them by the shortest links. */
function links(spots) {
  const joined = [0], pairs = [];
  const left = new Set(spots.keys());
  left.delete(0);
  while (left.size) {
    let best = [Infinity, 0, 0];
    for (const a of joined) {
      for (const b of left) {
        const near = nearby(spots[a], spots[b]);
        const length = Math.hypot(near[0] - spots[a][0], near[1] - spots[a][1]);
        if (length < best[0]) best = [length, a, b];
      }
    }
    pairs.push([best[1], best[2]]);
    joined.push(best[2]);
    left.delete(best[2]);
  }
  return pairs;
}

/** Pixel positions with neighbours pushed apart until most can be seen. */
function apart(spots, least) {
  const moved = spots.map(([x, y], i) => {
    const ring = Math.sqrt(1 + (i % 23));
    return [x + Math.cos(2.4 * i) * ring, y + Math.sin(2.4 * i) * ring];
  });
  for (let round = 0; round < 24; round += 1) {
    for (let a = 0; a < moved.length; a += 1) {
      for (let b = 0; b < a; b += 1) {
        const x = moved[a][0] - moved[b][0], y = moved[a][1] - moved[b][1];
        const length = Math.max(Math.hypot(x, y), 1e-6);
        if (length >= least) continue;
        const push = ((least - length) / length) * 0.3;
        moved[a][0] += x * push; moved[a][1] += y * push;
        moved[b][0] -= x * push; moved[b][1] -= y * push;
      }
    }
  }
  return moved;
}

class FleetMap {
  constructor(element, data) {
    this.element = element;
    this.data = data;
    this.policy = null;
    this.row = 0;
    this.bright = true;
    this.zoom = 1;
    this.places = data.regions.map((region) => [turned(region.lon), region.lat]);
    this.homes = data.sites.map((site) => [turned(site.lon), site.lat]);
    this.many = this.homes.length > 64;
    this.chart = echarts.init(element, null, { renderer: "canvas" });
    this.chart.on("georoam", () => {
      this.center = this.chart.getOption().geo[0].center;
      if (this.moved) this.moved(this.center);
    });
    this.restyle();
  }

  /** Everything but the moment: colours, land, places; again when the size, the zoom or the colours change. */
  restyle() {
    const east = WEST + 360;
    this.chart.setOption({
      animation: false,
      aria: { enabled: false },
      tooltip: {
        confine: true, backgroundColor: ink("paper"), borderColor: ink("line"), textStyle: { color: ink("ink"), fontSize: 12 },
        formatter: (item) => this.words(item),
      },
      geo: {
        map: "land", roam: this.zoom > 1 ? "move" : false, zoom: this.zoom, center: this.center ?? null, silent: true, clip: true,
        boundingCoords: [[WEST, NORTH], [east, SOUTH]], left: 0, right: 0, top: 0, bottom: 0, aspectScale: 1,
        itemStyle: { areaColor: ink("land"), borderColor: ink("land"), borderWidth: 0.5 },
        emphasis: { disabled: true },
      },
      series: [],
    }, { replaceMerge: ["series"] });
    const pixels = [...this.homes, ...this.places].map((spot) => this.chart.convertToPixel("geo", spot));
    const spots = apart(pixels, this.many ? 6 : 15).map((spot) => this.chart.convertFromPixel("geo", spot));
    this.spots = spots.slice(0, this.homes.length);
    this.users = spots.slice(this.homes.length);
    if (this.policy) this.show(this.policy, this.row);
  }

  /** To the size of its element; not where that has none, as in a window that is closed up: a map needs an area. */
  resize() {
    if (!this.element.clientWidth || !this.element.clientHeight) return;
    this.chart.resize();
    this.restyle();
  }

  /** Longitude and latitude in the middle of what is seen. */
  middle() {
    return this.chart.convertFromPixel("geo", [this.chart.getWidth() / 2, this.chart.getHeight() / 2]);
  }

  /** The same part of the world as another map. */
  look(zoom, center) {
    this.zoom = zoom;
    this.center = zoom > 1 ? center : null;
    this.restyle();
  }

  show(policy, row) {
    this.policy = policy;
    this.row = row;
    const struck = active(this.data, row).filter((outage) => policy.name in outage.policies);
    this.element.setAttribute("aria-label", this.summary(struck));
    this.chart.setOption({ series: [...this.arcs(), this.shared(struck), this.people(), this.fleet(), ...this.badges(), ...this.marks()] });
    this.linked = struck.some((outage) => outage.sites.length > 1);
  }

  /** Brighten and dim the links of outages. */
  flash(bright) {
    if (!this.linked || bright === this.bright) return;
    this.bright = bright;
    this.chart.setOption({ series: [{ id: "shared", lineStyle: { opacity: bright ? 0.95 : 0.25 } }] });
  }

  arcs() {
    const { data, policy, row, spots, users } = this;
    const load = data.load_rps.at(row), through = policy.gateway.at(row);
    const total = Math.max(load.reduce((sum, value) => sum + value, 0), 1e-9);
    const access = [];
    through.forEach((site, region) => {
      if (site < 0) return;
      const width = 0.8 + (6 * load[region]) / total;
      access.push(...lines(users[region], spots[site], { lineStyle: { width, opacity: 0.5 } }));
    });
    const traffic = policy.flows[row].filter(([from, to]) => from !== to).flatMap(([from, to, share]) => (
      lines(spots[from], spots[to], { lineStyle: { width: 0.7 + 14 * share, opacity: 0.55 } })));
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const style = { coordinateSystem: "geo", type: "lines", silent: true, z: 2, polyline: false };
    return [
      { ...style, id: "access", data: access, lineStyle: { color: dark ? "#b39ddb" : data.colors.users, type: "dotted", curveness: 0 } },
      { ...style, id: "traffic", data: traffic, lineStyle: { color: dark ? "#56b4e9" : data.colors.traffic, curveness: 0.18 } },
    ];
  }

  shared(struck) {
    const { spots } = this;
    const shown = struck.flatMap(({ sites }) => {
      const corners = sites.map((site) => spots[site]);
      return links(corners).flatMap(([a, b]) => lines(corners[a], corners[b], {}));
    });
    const lineStyle = { color: ink("alarm"), width: 3, opacity: this.bright ? 0.95 : 0.25 };
    return { id: "shared", type: "lines", coordinateSystem: "geo", silent: true, z: 3, data: shown, lineStyle };
  }

  people() {
    const { data, users, row } = this;
    const load = data.load_rps.at(row);
    const total = Math.max(load.reduce((sum, value) => sum + value, 0), 1e-9);
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    return {
      id: "users", type: "scatter", coordinateSystem: "geo", z: 4, symbol: PATHS.plus,
      itemStyle: { color: dark ? "#b39ddb" : data.colors.users, borderColor: ink("paper"), borderWidth: 0.7 },
      data: users.map((spot, region) => ({ value: [...spot, region], symbolSize: 7 + 16 * Math.sqrt(load[region] / total) })),
    };
  }

  size(site) {
    const least = this.policy.look.at(this.row)[site] > 2 ? 14 : 9;
    return (this.many ? least - 5 : least) + (this.many ? 20 : 24) * Math.sqrt(this.policy.share.at(this.row)[site] / FULL);
  }

  fleet() {
    const { data, policy, row, spots } = this;
    const state = policy.look.at(row), share = policy.share.at(row);
    const named = new Set([...share.keys()].filter((site) => share[site] > 0.04 * FULL || state[site] > 2));
    return {
      id: "sites", type: "scatter", coordinateSystem: "geo", z: 5,
      labelLayout: { hideOverlap: true },
      data: [...spots.keys()].sort((a, b) => state[a] - state[b]).map((site) => {
        const look = data.looks[state[site]], spot = spots[site];
        return {
          value: [...spot, site],
          symbol: PATHS[look.symbol],
          symbolSize: this.size(site),
          itemStyle: { color: look.color, opacity: 1, borderColor: ink("ink"), borderWidth: state[site] > 2 ? 1 : 0.7 },
          label: {
            show: named.has(site), position: turned(spot[0]) > 120 ? "left" : "right", distance: 6, textMargin: [3, 3],
            formatter: data.sites[site].name, fontSize: 10,
            color: ink("ink"), textBorderColor: ink("sea"), textBorderWidth: 2,
          },
        };
      }),
    };
  }

  badges() {
    const { policy, row, spots } = this;
    const roles = policy.roles.at(row);
    return BADGES.map(([bit, name, symbol, right, down]) => ({
      id: name, type: "scatter", coordinateSystem: "geo", z: 6, silent: true, symbol,
      itemStyle: { color: ink("ink"), borderColor: ink("paper"), borderWidth: 0.8 },
      data: spots.flatMap((spot, site) => {
        if (!(roles[site] & bit)) return [];
        const away = this.size(site) / 2 + 4;
        return [{ value: spot, symbolSize: this.many ? 4 : 7, symbolOffset: [right * away, down * away] }];
      }),
    }));
  }

  /** A dashed ring around grey sites, a question mark beside blind ones, an arrow beside steered ones. */
  marks() {
    const { data, policy, row, spots } = this;
    const marks = policy.marks.at(row);
    const every = [...spots.keys()];
    const beside = (site, right, down) => [right, down].map((part) => part * (this.size(site) / 2 + 7));
    const style = { type: "scatter", coordinateSystem: "geo", z: 6, silent: true };
    return [{
      ...style, id: "grey", symbol: "circle",
      itemStyle: { color: "transparent", borderColor: ink("ink"), borderWidth: 1.6, borderType: [3, 2] },
      data: every.filter((site) => marks[site] & GREY).map((site) => ({ value: spots[site], symbolSize: this.size(site) + 7 })),
    }, {
      ...style, id: "blind", symbol: "circle", symbolSize: this.many ? 9 : 12,
      itemStyle: { color: ink("paper"), borderColor: ink("ink"), borderWidth: 1 },
      label: { show: true, position: "inside", formatter: "?", color: ink("ink"), fontSize: this.many ? 8 : 10, fontWeight: "bold" },
      data: every.filter((site) => marks[site] & BLIND).map((site) => ({ value: spots[site], symbolOffset: beside(site, 0.87, -0.5) })),
    }, {
      ...style, id: "steered",
      data: every.filter((site) => this.isSteered(site)).map((site) => {
        const bias = biasAt(policy, row, site);
        return {
          value: spots[site], symbol: bias > 0 ? ARROWS.up : ARROWS.down, symbolSize: (this.many ? 8 : 11) + 2 * Math.abs(bias),
          symbolOffset: beside(site, -0.87, -0.5),
          itemStyle: { color: ink(bias > 0 ? "focus" : "alarm"), borderColor: ink("paper"), borderWidth: 0.8 },
        };
      }),
    }];
  }

  isSteered(site) {
    return Math.abs(biasAt(this.policy, this.row, site)) >= this.data.least_steer;
  }

  words({ seriesId, value }) {
    const { data, policy, row } = this;
    if (seriesId === "users") {
      const region = value[2], site = policy.gateway.at(row)[region];
      const through = site < 0 ? "no gateway" : data.sites[site].name;
      return `<b>users: ${escaped(data.regions[region].name)}</b><br>${data.load_rps.at(row)[region].toFixed(1)} requests/s<br>via ${escaped(through)}`;
    }
    if (seriesId !== "sites") return "";
    const site = value[2];
    const roles = rolesOf(policy, row, site), bias = biasAt(policy, row, site);
    return [
      `<b>${escaped(data.sites[site].name)}</b> (${escaped(data.sites[site].provider)})`,
      `${data.looks[policy.look.at(row)[site]].name}${roles ? `; ${roles}` : ""}`,
      `${percent(policy.share.at(row)[site] / FULL)} of the traffic`,
      `${policy.warm.at(row)[site]} replicas warm, ${policy.loading.at(row)[site]} loading`,
      `refused ${percent(refusedAt(policy, row, site))} of what it was sent, as last shown`,
      ...marksOf(policy, row, site).map((name) => data.marks[name]),
      ...(bias ? [steered(bias)] : []),
    ].join("<br>");
  }

  summary(struck) {
    const counts = countStates(this.data, this.policy, this.row).map(([name, count]) => `${count} ${name}`);
    const outages = struck.map((outage) => titleOf(this.data, outage)).join("; ");
    const marked = countMarks(this.data, this.policy, this.row).map((part) => `; ${part}`).join("");
    return `Map for ${this.policy.name}: sites ${counts.join(", ")}${marked}${outages ? `; ${outages}` : ""}`;
  }
}

const rolesOf = (policy, row, site) => (
  ROLES.filter(([bit]) => policy.roles.at(row)[site] & bit).map(([, name]) => name).join(", "));

/** The marks of a site that are not its steering: grey, blind. */
const marksOf = (policy, row, site) => (
  [[GREY, "grey"], [BLIND, "blind"]].filter(([bit]) => policy.marks.at(row)[site] & bit).map(([, name]) => name));

/** How many sites are grey, blind and steered, in words, without those that are none. */
function countMarks(data, policy, row) {
  const every = [...data.sites.keys()];
  const count = (name) => every.filter((site) => marksOf(policy, row, site).includes(name)).length;
  const moved = every.filter((site) => Math.abs(biasAt(policy, row, site)) >= data.least_steer).length;
  return [[count("grey"), "grey"], [count("blind"), "blind"], [moved, "steered"]].filter(([many]) => many).map((pair) => pair.join(" "));
}

/** How many sites are in each state that occurs, the gravest first. */
function countStates(data, policy, row) {
  const counts = data.looks.map(() => 0);
  policy.look.at(row).forEach((state) => { counts[state] += 1; });
  return data.looks.map((look, state) => [look.name, counts[state], state]).filter(([, count]) => count).reverse();
}

/** An outage in a few words. */
function titleOf(data, { domain, sites, word }) {
  const who = sites.length === 1 ? data.sites[sites[0]].name : `${sites.length} sites of ${domain || "no known domain"}`;
  return `${who} ${word}`;
}
