// The space-time diagram: one line per member, time runs down, messages slant from sender to receiver.
import { showBallot, showTime } from "./trace.js";

const TOP = 40;
const ROWS_MAX = 160;  // drawn at once, the newest
const NS = "http://www.w3.org/2000/svg";

function make(parent, name, attributes = {}, text = "") {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== "") element.textContent = text;
  parent.append(element);
  return element;
}

export function describe(message) {
  const round = message.ballot && message.ballot !== "none" ? `, ${showBallot(message.ballot)}` : "";
  const state = { flying: "under way", came: "delivered", lost: "lost" }[message.state];
  return `${message.name} from p${message.from} to p${message.to}${round}${message.detail ? ` (${message.detail})` : ""}, ${state}`;
}

export class Diagram {
  // `onMessage(message, key)`: a message under way was clicked (key "") or a key was pressed on it.
  // `names`: stays at the top while the diagram scrolls.
  constructor(svg, names, scroll, onMessage) {
    this.svg = svg;
    this.names = names;
    this.scroll = scroll;
    this.onMessage = onMessage;
    this.rowsBefore = 0;
  }

  // Returns how many rows are too old to be drawn.
  draw(model) {
    this.gutter = ["us", "step"].includes(model.unit) ? 84 : 62;
    const width = Math.max(this.scroll.clientWidth - 2, 300);
    this.rowHeight = model.unit === "half round" ? 72 : 24;
    const first = Math.max(0, model.rows.length - ROWS_MAX);
    const count = model.rows.length - first;
    const height = TOP + (count + 1) * this.rowHeight + 24;
    this.column = (width - this.gutter - 24) / Math.max(model.processes, 1);
    this.x = (p) => this.gutter + this.column * (p - 0.5);
    this.y = (row) => TOP + (row - first + 0.5) * this.rowHeight;
    this.now = TOP + (count + 0.6) * this.rowHeight;
    this.first = first;
    this.width = width;
    const focused = document.activeElement?.getAttribute?.("data-message");
    this.svg.replaceChildren();
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("width", width);
    this.svg.setAttribute("height", height);
    this.drawTimes(model);
    this.drawMembers(model);
    this.drawPoint(model);
    const layer = make(this.svg, "g");
    const flying = make(this.svg, "g", { class: "flying-layer" });
    this.labels = new Map();
    for (const m of model.messages) this.drawMessage(m, m.state === "flying" ? flying : layer);
    for (const mark of model.marks) this.drawMark(mark);
    make(this.svg, "line", { class: "now", x1: this.gutter - 8, x2: width - 8, y1: this.now, y2: this.now });
    make(this.svg, "text", { class: "time", x: this.gutter - 12, y: this.now + 4, "text-anchor": "end" }, "now");
    if (focused) this.svg.querySelector(`[data-message="${CSS.escape(focused)}"]`)?.focus();
    this.scroll.scrollTop = this.scroll.scrollHeight;
    this.rowsBefore = model.rows.length;
    return first;
  }

  drawTimes(model) {
    let last = "";
    for (let row = this.first; row < model.rows.length; ++row) {
      const text = showTime(model, model.rows[row].time, model.rows[row].step);
      if (text === last) continue;
      last = text;
      make(this.svg, "text", { class: "time", x: this.gutter - 12, y: this.y(row) + 4, "text-anchor": "end" }, text);
    }
  }

  drawMembers(model) {
    this.names.replaceChildren();
    this.names.setAttribute("viewBox", `0 0 ${this.width} 30`);
    this.names.setAttribute("width", this.width);
    this.names.setAttribute("height", 30);
    for (let p = 1; p <= model.processes; ++p) {
      for (const place of [this.names, this.svg])
        make(place, "text", { class: "name", x: this.x(p), y: 20, "text-anchor": "middle" }, `p${p}`);
      let from = TOP - 8;
      let down = false;
      const piece = (to) => {
        if (to > from) make(this.svg, "line", { class: down ? "life down" : "life", x1: this.x(p), x2: this.x(p), y1: from, y2: to });
        from = Math.max(from, to);
      };
      for (const mark of model.marks) {
        if (mark.process !== p || !["crash", "restart", "start"].includes(mark.kind)) continue;
        piece(this.y(mark.row));
        down = mark.kind === "crash";
      }
      piece(this.now);
    }
  }

  drawPoint(model) {
    for (const mark of model.marks) {
      if (mark.row < this.first || !["round", "decided"].includes(mark.kind)) continue;
      make(this.svg, "line", { class: `across ${mark.kind}`, x1: this.gutter, x2: this.width - 8, y1: this.y(mark.row), y2: this.y(mark.row) });
      make(this.svg, "text", { class: `across ${mark.kind}`, x: this.width - 10, y: this.y(mark.row) - 4, "text-anchor": "end" },
        mark.text.split(":")[0]);
    }
    if (!model.point || model.point.row < this.first) return;
    const y = this.y(model.point.row);
    make(this.svg, "rect", { class: "point-band", x: this.gutter, y: y - 12, width: this.width - this.gutter - 8, height: 24, rx: 4 });
    make(this.svg, "text", { class: "point-text", x: this.width - 14, y: y + 4, "text-anchor": "end" },
      this.column > 225 ? "point of no return" : this.column > 130 ? "no return" : this.column > 75 ? "point" : "!");
  }

  drawMessage(m, layer) {
    if ((m.came ?? Infinity) < this.first) return;
    const x1 = this.x(m.from);
    const y1 = this.y(m.sent);
    let x2 = this.x(m.to);
    let y2 = m.came === null ? this.now : this.y(m.came);
    if (m.state === "lost") {  // drawn half the way
      x2 = x1 + (x2 - x1) * 0.55;
      y2 = Math.max(y1 + 10, y1 + (Math.min(y2, y1 + 72) - y1) * 0.55);
    } else if (m.state === "came" && m.came === m.sent) {
      y2 = y1 + 11;
    }
    const group = make(layer, "g", { class: `message ${m.phase} ${m.state}` });
    make(group, "title", {}, describe(m));
    const length = Math.hypot(x2 - x1, y2 - y1) || 1;
    const ux = (x2 - x1) / length;
    const uy = (y2 - y1) / length;
    const stop = m.state === "lost" ? 0 : 5;
    make(group, "line", { class: "hit", x1, y1, x2, y2 });
    make(group, "line", { class: "wire", x1, y1, x2: x2 - ux * stop, y2: y2 - uy * stop });
    if (m.state === "lost") make(group, "path", { class: "cross", d: `M${x2 - 4} ${y2 - 4}l8 8m0 -8l-8 8` });
    else if (m.state === "came") {
      make(group, "path", { class: "head", d: `M${x2 - ux * 1} ${y2 - uy * 1}L${x2 - ux * 9 - uy * 3.5} ${y2 - uy * 9 + ux * 3.5}` +
        `L${x2 - ux * 9 + uy * 3.5} ${y2 - uy * 9 - ux * 3.5}Z` });
    } else make(group, "circle", { class: "tip", cx: x2 - ux * 5, cy: y2 - uy * 5, r: 4 });
    this.drawLabel(group, m, x1, y1);
    if (m.state === "flying" && m.id) this.arm(group, m);
  }

  // Once for a broadcast; several messages of one step are labelled one above the other.
  drawLabel(group, m, x, y) {
    if (y < TOP - 4 || this.column < 58) return;
    const side = m.to > m.from ? 1 : -1;
    const text = m.name === "Values" ? `{${m.detail.replace(/[{}]/g, "")}}` : m.name;
    const key = `${m.sent}/${m.from}/${side}`;
    const there = this.labels.get(key) ?? [];
    if (there.includes(text)) return;
    make(group, "text", { class: "label", x: x + side * 9, y: y - 3 - 11 * there.length, "text-anchor": side > 0 ? "start" : "end" }, text);
    this.labels.set(key, [...there, text]);
  }

  arm(group, m) {
    group.setAttribute("tabindex", "0");
    group.setAttribute("role", "button");
    group.setAttribute("data-message", m.id);
    group.setAttribute("aria-label", `${describe(m)}. Enter for what can be done`);
    group.addEventListener("click", () => this.onMessage(m, ""));
    group.addEventListener("keydown", (event) => {
      const key = event.key.toLowerCase();
      if (event.ctrlKey || event.metaKey || event.altKey || !["enter", " ", "x", "delete", "d", "g"].includes(key)) return;
      event.preventDefault();
      event.stopPropagation();
      this.onMessage(m, key === "enter" || key === " " ? "" : key);
    });
  }

  drawMark(mark) {
    if (mark.row < this.first || mark.process === 0) return;
    const x = this.x(mark.process);
    const y = this.y(mark.row);
    const group = make(this.svg, "g", { class: `mark ${mark.kind}` });
    make(group, "title", {}, `p${mark.process}: ${mark.text}`);
    if (mark.kind.startsWith("log-")) make(group, "rect", { x: x - 4, y: y - 4, width: 8, height: 8, rx: 1.5 });
    else if (mark.kind === "crash") make(group, "path", { d: `M${x - 6} ${y - 6}l12 12m0 -12l-12 12` });
    else if (mark.kind === "clock") make(group, "circle", { cx: x, cy: y, r: 3 });
    else if (mark.kind === "output") {
      const w = mark.text.length * 7 + 10;
      make(group, "rect", { x: x - w / 2, y: y + 2, width: w, height: 18, rx: 9 });
      make(group, "text", { x, y: y + 15, "text-anchor": "middle" }, mark.text);
    } else {
      make(group, "circle", { cx: x, cy: y, r: 4 });
      make(group, "text", { x: x + 8, y: mark.kind === "leads" ? y + 13 : y + 4 }, mark.text);
    }
  }

  focusFirst() { this.svg.querySelector("[data-message]")?.focus(); }
}

// The picture as a file of its own: the rules of page.css that the diagram uses go with it.
export function pictureOf(svg, title) {
  const copy = svg.cloneNode(true);
  copy.setAttribute("xmlns", NS);
  for (const g of copy.querySelectorAll("[tabindex]")) for (const a of ["tabindex", "role", "data-message", "aria-label"]) g.removeAttribute(a);
  for (const hit of copy.querySelectorAll(".hit")) hit.remove();
  const rules = [];
  for (const sheet of document.styleSheets)
    for (const rule of sheet.cssRules)
      if (/#diagram|:root/.test(rule.cssText) && !/animation/.test(rule.cssText)) rules.push(rule.cssText);
  const style = document.createElementNS(NS, "style");
  style.textContent = rules.join("\n").replaceAll("#diagram", "svg");
  const caption = document.createElementNS(NS, "title");
  caption.textContent = title;
  const paper = document.createElementNS(NS, "rect");
  for (const [key, value] of Object.entries({ class: "paper", width: "100%", height: "100%" })) paper.setAttribute(key, value);
  copy.removeAttribute("id");
  copy.prepend(caption, style, paper);
  return new XMLSerializer().serializeToString(copy) + "\n";
}
