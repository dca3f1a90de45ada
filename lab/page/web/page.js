// The page. A run is a text of statements (lab/page/run.h): what it begins with, and what was done by hand after which
// step. The server plays it from the beginning for every question, so going back is asking for fewer steps.
import { Diagram, describe, pictureOf } from "./diagram.js";
import { drawChecks, drawFlights, drawLinks, drawMembers, drawStory, element } from "./panels.js";
import { buildModel, parseTrace, showBallot, until } from "./trace.js";

const $ = (id) => document.getElementById(id);
const state = {
  kind: "run",      // "run", "trace" (of an experiment or a file)
  head: "",         // the run's beginning
  actions: [],      // { step, text }: by hand
  furthest: 0,      // steps that were played
  seen: null,       // the server's last answer
  model: null,      // what the diagram has
  whole: null,      // trace: all of it
  at: 0,            // the step that is shown
  scene: null,
};
let scenes = [];

// ---- the server ----

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("the laboratory does not answer: is decree-lab serve still running?");
  }
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(body?.error ?? `the laboratory answered ${answer.status}`);
  if (body === null) throw new Error("the answer was cut off: is decree-lab serve still running?");
  return body;
}

const runText = () => [state.head, ...state.actions.map((a) => `step ${a.step} ${a.text}`)].join("\n") + "\n";

// One question at a time; of those that wait only the newest is asked.
let asking = null;
let waiting = null;
function play(to, goal = "here") {
  waiting = { to, goal };
  asking ??= (async () => {
    try {
      while (waiting) {
        const question = waiting;
        waiting = null;
        document.body.setAttribute("aria-busy", "true");
        const body = `${runText()}to ${question.to}\nuntil ${question.goal}\n`;
        const seen = await ask("/api/run", { method: "POST", body, headers: { "content-type": "text/x-decree-run" } });
        if (!waiting) showRun(seen);
      }
    } catch (problem) {
      waiting = null;
      complain(problem);
    } finally {
      asking = null;
      document.body.removeAttribute("aria-busy");
    }
  })();
  return asking;
}

// ---- showing ----

function complain(problem) {
  $("banner").className = "bad";
  $("banner").replaceChildren(element("strong", {}, "That did not work: "), problem.message);
}

function banner() {
  const box = $("banner");
  const seen = state.seen;
  box.className = "";
  if (state.kind === "trace") {
    const point = state.model.point;
    if (point) box.className = "point";
    const failed = state.whole.verdicts.filter((v) => !v.holds);
    if (failed.length > 0) box.className = "bad";
    box.replaceChildren(failed.length > 0 ? `BROKEN: ${failed.map((v) => v.text).join("; ")}`
      : point ? `Point of no return, step ${point.step}: a quorum holds ‘${point.value}’ at ${showBallot(point.ballot)}.`
      : state.note ?? "A recorded run: it can be read forwards and back, not changed.");
    return;
  }
  if (seen.breach) {
    box.className = "bad";
    box.replaceChildren(element("strong", {}, "Broken. "), seen.breach);
  } else if (seen.point) {
    box.className = "point";
    const written = seen.processes.filter((p) => p.output !== null).map((p) => `p${p.process}`);
    box.replaceChildren(element("strong", {}, "Point of no return. "),
      `In step ${seen.point.step} (${seen.point.ms} ms) the log write of p${seen.point.process} made a quorum hold ` +
      `‘${seen.point.value}’ at ${showBallot(seen.point.ballot)}. ` +
      (seen.first_known_ms === 0 ? "Nobody knows it yet." :
        `First known at ${seen.first_known_ms} ms${written.length > 0 ? `; written by ${written.join(", ")}` : ""}.`));
  } else {
    box.replaceChildren("Nothing is decided: no quorum has one value in its logs at one ballot." +
      (seen.step === 0 ? " Press Step, or the right arrow key, and time begins to run." : ""));
  }
  if (!seen.reached) box.append(" Ten more seconds have passed, and what you waited for did not happen.");
  if (seen.capped) box.append(" The run has reached the page’s limit: reset it, or rewind.");
}

function drawTime() {
  const ms = state.kind === "run" ? `, ${state.seen.ms} ms` : "";
  $("where").textContent = `step ${state.at} of ${state.furthest}${ms}`;
  $("slider").max = state.furthest;
  $("slider").value = state.at;
  $("slider").setAttribute("aria-valuetext", `step ${state.at} of ${state.furthest}`);
  $("back").disabled = $("reset").disabled = state.at === 0;
  const over = state.kind === "trace" && state.at >= state.furthest;
  for (const id of ["step", "end", "note"]) $(id).disabled = over;
  $("point").disabled = state.kind === "run" ? state.seen.point !== null : over || state.whole.point === null;
}

const diagram = new Diagram($("diagram"), $("names"), $("scroll"), (m, key) => {
  if (state.kind !== "run") return;
  if (key === "x" || key === "delete") hand(`drop ${m.id}`);
  else if (key === "d") hand(`delay ${m.id} 100`);
  else if (key === "g") hand(`deliver ${m.id}`);
  else choose(m);
});

function drawDiagram() {
  const left = diagram.draw(state.model);
  $("earlier").textContent = left > 0 ? `${left} earlier rows are not drawn; rewind to see them.` : "";
  drawStory($("story"), state.model);
}

function showRun(seen) {
  state.seen = seen;
  state.at = seen.step;
  state.furthest = Math.max(state.furthest, seen.step);
  state.model = buildModel(seen.lines, "ms");
  state.model.processes = seen.processes.length;
  banner();
  drawTime();
  drawMembers($("member-list"), seen, hand);
  drawFlights($("flights"), seen, hand, choose);
  drawLinks($("links"), seen, hand);
  drawChecks($("checks"), seen.invariants, seen.verdicts, seen.finished);
  drawDiagram();
  remember();
}

function showTrace(to) {
  state.at = to;
  state.model = until(state.whole, to);
  banner();
  drawTime();
  drawChecks($("checks"), [], state.whole.verdicts.map((v) => ({ ...v, sentence: v.text })), true);
  drawDiagram();
}

function setKind(kind) {
  state.kind = kind;
  for (const id of ["flights-box", "links-box", "build-box"]) $(id).hidden = kind !== "run";
  $("member-list").parentElement.hidden = kind !== "run";
  $("checks-box").hidden = kind !== "run" && state.whole.verdicts.length === 0;
  $("save-run").disabled = kind !== "run";
  $("save-picture").disabled = kind === "trace" && state.whole.rows.length === 0;
  document.querySelector(".columns").classList.toggle("alone", kind !== "run" && state.whole.verdicts.length === 0);
}

function about(title, paragraph, command) {
  $("title").textContent = title;
  $("paragraph").textContent = paragraph;
  $("command").textContent = command;
  document.title = `${title} — Decree, the laboratory`;
}

// ---- what a person does ----

// Something by hand, at the step that is shown. What was done later belongs to another future and is forgotten.
function hand(text) {
  if (state.kind !== "run") return;
  state.actions = state.actions.filter((a) => a.step <= state.at);
  state.actions.push({ step: state.at, text });
  state.furthest = state.at;
  play(state.at);
}

let chosen = null;
function choose(m) {
  chosen = m;
  $("menu-title").textContent = `${m.message ?? m.name} from p${m.from} to p${m.to}`;
  $("menu-text").textContent = m.name ? describe(m) : `under way, due at ${m.due_ms} ms`;
  $("menu").showModal();
}
for (const button of document.querySelectorAll("#menu [data-hand]"))
  button.addEventListener("click", () => {
    $("menu").close();
    const what = button.dataset.hand;
    if (what !== "") hand(what === "delay" ? `delay ${chosen.id} 100` : `${what} ${chosen.id}`);
  });

const steps = () => state.model.rows.map((row) => row.step);
const nextIn = (list) => list.find((s) => s > state.at) ?? state.furthest;

const controls = {
  reset: () => (state.kind === "run" ? play(0) : showTrace(0)),
  back: () => {
    const before = steps().filter((s) => s < state.at).pop() ?? 0;
    return state.kind === "run" ? play(before) : showTrace(before);
  },
  step: () => (state.kind === "run" ? play(state.at, "message") : showTrace(nextIn(state.whole.rows.map((r) => r.step)))),
  note: () => (state.kind === "run" ? play(state.at, "note") : showTrace(nextIn(state.whole.notes.map((n) => n.step)))),
  point: () => (state.kind === "run" ? play(state.at, "point") : showTrace(state.whole.point.step)),
  end: () => (state.kind === "run" ? play(state.at, "end") : showTrace(state.furthest)),
};
for (const [id, act] of Object.entries(controls)) $(id).addEventListener("click", act);
$("slider").addEventListener("input", (event) => {
  const to = Number(event.target.value);
  if (state.kind === "run") play(to);
  else showTrace(to);
});

const KEYS = { ArrowRight: "step", ArrowLeft: "back", Home: "reset", End: "end", n: "note", N: "note", p: "point", P: "point" };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("menu").open) return;
  if (event.target.closest("input:not([type=range]), select, textarea, pre")) return;
  if (event.target.id === "slider" && event.key.startsWith("Arrow")) return;
  const control = KEYS[event.key];
  if (control !== undefined) {
    event.preventDefault();
    if (!$(control).disabled) controls[control]();
  } else if (event.key === "m" || event.key === "M") {
    event.preventDefault();
    diagram.focusFirst();
  } else if (state.kind === "run" && /^[1-7]$/.test(event.key)) {
    const p = state.seen.processes[Number(event.key) - 1];
    if (p) hand(`${p.role === "down" ? "restart" : "crash"} ${p.process}`);
  }
});

// ---- runs, scenes, files ----

function startRun(head, actions = [], to = 0) {
  Object.assign(state, { head: head.trim(), actions, furthest: to, whole: null, note: undefined });
  setKind("run");
  $("output-box").hidden = true;
  const value = (key, otherwise) => new RegExp(`^${key} (.*)$`, "m").exec(head)?.[1] ?? otherwise;
  $("members").value = value("processes", "3");
  $("inputs").value = value("inputs", "");
  $("seed").value = value("seed", "1");
  $("delay").value = value("delay", "20");
  $("loss").value = value("loss", "0");
  return play(to);
}

function startTrace(model, note) {
  Object.assign(state, { whole: model, furthest: model.rows.at(-1)?.step ?? 0, note, actions: [] });
  setKind("trace");
  showTrace(state.furthest);
}

function showOutput(text) {
  $("output-box").hidden = text === "";
  $("output").replaceChildren(...text.split("\n").map((line) =>
    element("span", { class: line.includes("BROKEN") ? "broken" : /^\s*holds:/.test(line) ? "holds" : "" }, line + "\n")));
}

async function openScene(name) {
  const scene = scenes.find((s) => s.name === name) ?? scenes[0];
  state.scene = scene.name;
  $("scene").value = scene.name;
  about(`${scene.row} · ${scene.title}`, scene.paragraph, scene.command);
  history.replaceState(null, "", `#scene=${scene.name}`);
  if (scene.run !== "") return startRun(scene.run);
  document.body.setAttribute("aria-busy", "true");
  $("banner").className = "";
  $("banner").textContent = "The experiment is running…";
  try {
    const played = await ask(`/api/scene/${scene.name}`);
    if (state.scene !== scene.name) return undefined;
    showOutput(played.text);
    const drawn = played.lines.length > 0;
    for (const id of ["stage", "controls"]) $(id).hidden = !drawn;
    if (drawn) startTrace(buildModel(played.lines, played.unit), "A run of the experiment: read it forwards and back.");
    else showText(played.holds);
  } catch (problem) {
    complain(problem);
  } finally {
    document.body.removeAttribute("aria-busy");
  }
  return undefined;
}

// A scene that has only numbers to show.
function showText(holds) {
  state.whole = { rows: [], notes: [], verdicts: [], messages: [], marks: [], point: null };
  setKind("trace");
  $("banner").className = holds ? "" : "bad";
  $("banner").textContent = holds ? "Every claim holds." : "A claim is BROKEN.";
}

function showStage() {
  for (const id of ["stage", "controls"]) $(id).hidden = false;
}

$("scene").addEventListener("change", (event) => {
  showStage();
  openScene(event.target.value);
});

$("build").addEventListener("submit", (event) => {
  event.preventDefault();
  const members = Number($("members").value);
  const given = $("inputs").value.split(",").map((x) => x.trim()).filter((x) => x !== "");
  const inputs = Array.from({ length: Math.min(members, 7) }, (_, i) => given[i] ?? String(i % 2));
  state.scene = null;
  $("scene").value = "";
  about("A run of your own", "Step through it, and do to it what you like: crash and restart members, cut links, drop and " +
    "delay messages. Rewind, do something else, and see another future.", "decree-lab synod --schedule FILE (Save this run)");
  startRun([`processes ${members}`, `inputs ${inputs.join(",")}`, `seed ${$("seed").value || 1}`, `delay ${$("delay").value || 20}`,
    `loss ${$("loss").value || 0}`, Number($("loss").value) > 0 ? "calm 10000" : "calm 0"].join("\n"));
});

function download(name, type, text) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const OWN = /^(processes|inputs|seed) .*$/;
$("save-run").addEventListener("click", () => {
  const get = (key) => new RegExp(`^${key} (.*)$`, "m").exec(state.head)?.[1];
  const schedule = runText().split("\n").filter((line) => !OWN.test(line)).join("\n");
  download("run.schedule", "text/plain", `# decree-lab synod --processes ${get("processes")} --inputs ${get("inputs")} ` +
    `--seed ${get("seed")} --schedule run.schedule\n# at ${state.at}\n${schedule}`);
});
$("save-picture").addEventListener("click", () =>
  download("run.svg", "image/svg+xml", pictureOf($("diagram"), $("title").textContent)));

// A file that "Save this run" wrote, else a trace.
async function openFile(file) {
  const beginning = await file.slice(0, 100000).text();
  const run = /^# decree-lab synod --processes (\d+) --inputs (\S+) --seed (\d+)/.exec(beginning);
  if (run) {
    showFile();
    const lines = beginning.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("#"));
    const actions = lines.map((line) => /^step (\d+) (.*)$/.exec(line)).filter((m) => m !== null)
      .map((m) => ({ step: Number(m[1]), text: m[2] }));
    about(file.name, "A run that was saved.", run[0].slice(2));
    const rest = lines.filter((line) => !line.startsWith("step "));
    return startRun([`processes ${run[1]}`, `inputs ${run[2]}`, `seed ${run[3]}`, ...rest].join("\n"), actions,
      Number(/^# at (\d+)$/m.exec(beginning)?.[1] ?? 0));
  }
  const { lines, cut } = await parseTrace(file);
  const model = buildModel(lines);
  showFile();
  about(file.name, model.title, model.command ?? "");
  return startTrace(model, cut ? `Only the first ${lines.length} lines of this file are shown.` : undefined);
}

function showFile() {
  showStage();
  showOutput("");
  state.scene = null;
  $("scene").value = "";
}

$("open").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", async () => {
  const file = $("file").files[0];
  if (!file) return;
  try {
    document.body.setAttribute("aria-busy", "true");
    await openFile(file);
  } catch (problem) {
    complain(problem);
  } finally {
    document.body.removeAttribute("aria-busy");
  }
  $("file").value = "";
});

// ---- the address remembers the run ----

function remember() {
  if (state.kind !== "run" || (state.scene !== null && state.actions.length === 0)) return;
  const text = encodeURIComponent(`${runText()}to ${state.at}`);
  if (text.length < 6000) history.replaceState(null, "", `#run=${text}`);
}

function openAddress() {
  const run = /^#run=(.*)$/.exec(location.hash);
  if (!run) return openScene(/^#scene=([\w-]+)$/.exec(location.hash)?.[1] ?? "synod-calm");
  const lines = decodeURIComponent(run[1]).split("\n");
  const actions = [];
  const head = [];
  let to = 0;
  for (const line of lines) {
    const done = /^step (\d+) (.*)$/.exec(line);
    const at = /^to (\d+)$/.exec(line);
    if (done) actions.push({ step: Number(done[1]), text: done[2] });
    else if (at) to = Number(at[1]);
    else head.push(line);
  }
  about("A run of your own", "It was kept in the page’s address.", "");
  $("scene").value = "";
  return startRun(head.join("\n"), actions, to);
}

let drawnWidth = 0;
new ResizeObserver(() => {
  if (state.model === null || $("scroll").clientWidth === drawnWidth) return;
  drawnWidth = $("scroll").clientWidth;
  drawDiagram();
}).observe($("scroll"));

$("build-box").open = window.matchMedia("(min-width: 40rem)").matches;

const GROUPS = { synod: "One decision, step by step", synchronous: "Synchronous systems", flp: "FLP: no promise of an end",
  exhibit: "Four group problems" };
try {
  scenes = await ask("/api/scenes");
  $("scene").append(element("option", { value: "", hidden: true }, "your own"),
    ...Object.entries(GROUPS).map(([group, label]) => element("optgroup", { label },
      ...scenes.filter((s) => s.group === group).map((s) => element("option", { value: s.name }, `${s.row} ${s.title}`)))));
  await openAddress();
} catch (problem) {
  complain(problem);
}
