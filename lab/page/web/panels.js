// What stands beside the diagram: members, messages under way, links, checks, the story.
import { showBallot, showTime } from "./trace.js";

export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

// The element with the same data-key keeps the focus when its surroundings are drawn again.
export function redraw(parent, children) {
  const key = parent.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  parent.replaceChildren(...children);
  if (key !== undefined) parent.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

function slotItem(slot) {
  const what = slot.kind === "command" ? `‘${slot.value}’` : slot.kind;
  const where = slot.ballot === "none" ? "as a Law" : showBallot(slot.ballot);
  const state = `${slot.durable ? "in its log" : "not yet in its log"}${slot.decided ? ", decided" : ""}`;
  return element("li", { class: `${slot.durable ? "" : "wet"}${slot.decided ? " decided" : ""}`, title: `${where}; ${state}` },
    `${slot.slot}: ${what}`, element("small", {}, ` ${where}${slot.durable ? "" : ", writing"}`), slot.decided ? " ✓" : "",
    slot.decided ? element("span", { class: "unseen" }, "decided") : "");
}

export function drawMembers(parent, state, act) {
  const anybodyLeads = state.processes.some((p) => p.role === "leader");
  redraw(parent, state.processes.map((p) => {
    const down = p.role === "down";
    const n = p.process;
    const promised = p.promised === p.promised_durable || down ? showBallot(p.promised)
      : `${showBallot(p.promised)} (in its log: ${showBallot(p.promised_durable)})`;
    return element("div", { class: `member ${p.role}` },
      element("div", { class: "head" }, element("b", {}, `p${n}`),
        element("span", { class: "role" }, down ? "down" : p.role),
        element("button", { type: "button", class: "small", "data-key": `power${n}`, "aria-label": `${down ? "Restart" : "Crash"} p${n}`,
          onclick: () => act(`${down ? "restart" : "crash"} ${n}`) }, down ? "Restart" : "Crash"),
        element("button", { type: "button", class: "small", "data-key": `rival${n}`, disabled: down || p.role === "leader" || !anybodyLeads,
          "aria-label": `p${n} becomes a rival of the leader`, title: "a would-be leader beside the present one",
          onclick: () => act(`rival ${n}`) }, "Rival")),
      element("dl", {},
        element("dt", {}, "input, output"), element("dd", {}, `x = ${p.input}, y = ${p.output ?? "blank"}`),
        element("dt", {}, "promised"), element("dd", {}, promised),
        element("dt", {}, down ? "on disk" : "accepted"),
        element("dd", {}, p.log.length === 0 ? "nothing" : element("ul", { class: "slots" }, ...p.log.map(slotItem)))));
  }));
}

export function drawFlights(parent, state, act, choose) {
  const shown = state.flights.filter((m) => m.message !== "Beat" && m.message !== "BeatReply");
  const items = shown.map((m) => {
    const name = `${m.message} from p${m.from} to p${m.to}`;
    return element("li", {},
      element("button", { type: "button", class: "what", "data-key": `what${m.id}`, "aria-label": `${name}: what can be done`,
        onclick: () => choose(m) }, element("b", {}, m.message), ` p${m.from} → p${m.to} `, element("small", {}, `due ${m.due_ms} ms`)),
      element("button", { type: "button", class: "small", "data-key": `go${m.id}`, "aria-label": `${name}: let it go next`,
        onclick: () => act(`deliver ${m.id}`) }, "Go"),
      element("button", { type: "button", class: "small", "data-key": `delay${m.id}`, "aria-label": `${name}: delay by 100 ms`,
        onclick: () => act(`delay ${m.id} 100`) }, "+100"),
      element("button", { type: "button", class: "small danger", "data-key": `drop${m.id}`, "aria-label": `${name}: drop`,
        onclick: () => act(`drop ${m.id}`) }, "Drop"));
  });
  const beats = state.flights.length - shown.length;
  if (items.length === 0) items.push(element("li", { class: "hint" }, "no message"));
  if (beats > 0) items.push(element("li", { class: "hint" }, `and ${beats} heartbeat${beats === 1 ? "" : "s"}`));
  redraw(parent, items);
}

export function drawLinks(parent, state, act) {
  const cut = new Set(state.cuts.map(([a, b]) => `${a},${b}`));
  const buttons = [];
  for (let a = 1; a <= state.processes.length; ++a)
    for (let b = a + 1; b <= state.processes.length; ++b) {
      const is = cut.has(`${a},${b}`) || cut.has(`${b},${a}`);
      buttons.push(element("button", { type: "button", class: "small", "data-key": `link${a},${b}`, "aria-pressed": String(is),
        onclick: () => act(`${is ? "join" : "cut"} ${a} ${b}`) }, `${is ? "Join" : "Cut"} p${a}–p${b}`));
    }
  redraw(parent, buttons);
}

export function drawChecks(parent, invariants, verdicts, finished) {
  const item = (state, name, sentence) =>
    element("li", { class: state }, name, sentence && state === "broken" ? element("small", {}, sentence) : "",
      element("span", { class: "unseen" }, state));
  const word = (holds) => (holds === null ? "open" : holds ? "holds" : "broken");
  redraw(parent, [
    ...invariants.map((i) => item(word(i.holds), `${i.id} ${i.name}`.trim(), i.sentence)),
    ...verdicts.map((v) => {
      const waiting = v.property === "termination" && !v.holds && !finished;
      return item(waiting ? "open" : word(v.holds), v.property + (waiting ? ": not yet" : ""), v.sentence);
    })]);
}

const CLASS = { ELECTION: "election", BILL: "bill", LAW: "law", FAULT: "fault", POINT: "point", OUTPUT: "law", ROUND: "round" };
const STORY_MAX = 400;

export function drawStory(parent, model) {
  const notes = model.notes.slice(-STORY_MAX);
  parent.replaceChildren(...notes.map((n) =>
    element("li", { class: n.phase === "POINT" ? "point" : "" },
      element("span", { class: "at" }, model.unit === "ms" ? `${n.time} ms · step ${n.step}` : showTime(model, n.time, n.step)),
      element("span", { class: `phase ${CLASS[n.phase] ?? "other"}` }, n.phase),
      element("span", { class: "text" }, n.text.replaceAll("*** ", "").replaceAll(" ***", "")))));
  parent.scrollTop = parent.scrollHeight;
}
