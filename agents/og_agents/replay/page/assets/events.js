// The list of outages, each with what the policies did next and what it cost them, and all operations.

const WORDS = { frozen: "They serve but take no changes. ", untrusted: "Their proofs are void. " };

const EFFECTS = {
  DOWN: "down", FROZEN: "runs, but takes no changes", UNTRUSTED: "proofs are void", SLOW: "slow",
  NO_LAUNCHES: "nothing can be launched or added", IMPAIRED: "what loads or starts takes twice as long",
  GATEWAY_OFF: "its gateway is off", STORE_OFF: "its store is off", SCARCE: "launches are refused",
  WITHDRAWN: "what runs there is withdrawn",
};

class Events {
  /** `seek` is called with the row of what is chosen. */
  constructor(data, seek) {
    this.data = data;
    this.seek = seek;
    this.list = document.getElementById("outages");
    this.moves = document.getElementById("moves");
    this.items = [];
    this.phases = this.timeline(document.getElementById("phases"));
  }

  /** The phases of a replayed incident, each with its clock and a bar; none where one effect is all that is told. */
  timeline(place) {
    const { data } = this;
    if (!data.phases.length) return [];
    const first = Math.min(...data.phases.map((phase) => phase.start));
    const last = Math.min(data.steps, Math.max(...data.phases.map((phase) => phase.stop)));
    const share = (row) => `${(100 * (Math.min(row, last) - first) / Math.max(last - first, 1)).toFixed(2)}%`;
    const items = data.phases.map((phase) => {
      const from = Math.floor(phase.start);
      const bar = make("i", { "aria-hidden": "true" });
      bar.style.marginLeft = share(phase.start);
      bar.style.width = share(Math.min(phase.stop, last) - phase.start + first);
      const title = `${clockAt(data, phase.start)} to ${clockAt(data, phase.stop)} UTC: ${phase.name}`;
      const sites = phase.sites.map((site) => data.sites[site].name);
      const who = `${EFFECTS[phase.effect] ?? phase.effect}: ${sites.length > 6 ? `${sites.length} sites` : sites.join(", ") || "no site here"}`;
      return { item: make("li", {}, this.jump(from, title), make("span", { class: "who" }, who), make("div", { class: "bar" }, bar)), phase };
    });
    place.replaceChildren(make("h3", {}, "The incident in phases"), make("ol", {}, ...items.map(({ item }) => item)));
    return items;
  }

  draw(sides) {
    this.list.replaceChildren();
    this.items = this.data.outages.map((outage) => {
      const item = make("li", {}, this.head(outage), make(
        "div", { class: sides.length > 1 ? "answers" : "answers single" }, ...sides.map((policy, side) => this.answer(policy, side, outage)),
      ));
      this.list.append(item);
      return { item, outage };
    });
    if (!this.items.length) this.list.append(make("li", { class: "quiet" }, "Nothing breaks in this episode."));
    this.drawMoves(sides);
  }

  jump(row, text) {
    return make("button", { type: "button", class: "jump", "data-row": row, click: () => this.seek(row) }, text);
  }

  head(outage) {
    const { data } = this;
    const until = outage.stop > data.steps ? "the end" : clockAt(data, outage.stop);
    const names = outage.sites.map((site) => data.sites[site].name);
    const listed = names.length > 8 ? [...names.slice(0, 8), `${names.length - 8} more`] : names;
    const title = `${clockAt(data, outage.start)} UTC: ${titleOf(data, outage)}`;
    const who = `${WORDS[outage.word] ?? ""}Until ${until}: ${listed.join(", ")}`;
    return make("div", { class: "head" }, this.jump(outage.start, title), make("p", { class: "who" }, who));
  }

  answer(policy, side, outage) {
    const title = make("h3", {}, make("i", { class: side ? "swatch second" : "swatch" }), policy.name);
    const found = outage.policies[policy.name];
    if (!found) return make("div", {}, title, make("p", { class: "quiet" }, "It did not happen here."));
    const { data } = this;
    const moves = found.moves.map(({ row, text }) => make("li", {}, this.jump(row, `${clockAt(data, row)} ${text}`)));
    const more = found.moves_total - found.moves.length;
    if (more > 0) moves.push(make("li", { class: "quiet" }, `and ${more} more`));
    if (!moves.length) moves.push(make("li", { class: "quiet" }, "changed nothing"));
    const lost = found.unserved + found.unverified;
    const p95 = found.worst_hour_p95_ms === null ? "" : `, worst hour's p95 ${seconds(found.worst_hour_p95_ms)}`;
    const before = found.share_before === null ? "" : `Carried ${percent(found.share_before)} of the traffic before. `;
    const cost = `${before}Until ${clockAt(data, found.until)}: `
      + `${grouped(lost)} requests lost (${percent(found.lost_share)}; ${grouped(found.unserved)} unserved, `
      + `${grouped(found.unverified)} unverified)${found.due === null ? "" : `, ${versus(found.due)}`}${p95}, `
      + `${dollars(found.cost_usd)} spent.`;
    return make("div", {}, title, make("ul", {}, ...moves), make("p", { "data-lost": Math.round(lost) }, cost));
  }

  drawMoves(sides) {
    const { data } = this;
    this.moves.replaceChildren(...sides.map((policy) => {
      const list = make("ol");
      const details = make("details", {}, make("summary", {}, `All ${policy.moves.length} operations of ${policy.name}`), list);
      details.addEventListener("toggle", () => {
        if (list.childElementCount) return;
        list.append(...policy.moves.map(({ row, text }) => make("li", {}, this.jump(row, `${clockAt(data, row)} ${text}`))));
      });
      return details;
    }));
  }

  show(row) {
    for (const { item, outage } of this.items) {
      const current = outage.start <= row && row < outage.stop;
      item.className = current ? "current" : outage.stop <= row ? "past" : "";
      if (current) item.setAttribute("aria-current", "true");
      else item.removeAttribute("aria-current");
    }
    for (const { item, phase } of this.phases) {
      item.className = phase.start <= row && row < phase.stop ? "current" : phase.stop <= row ? "past" : "";
    }
  }
}
