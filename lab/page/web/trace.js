// Traces as the diagram wants them. Three kinds come in, all one JSON object a line: of `synod --json` and of the page's own
// runs, of the prepared experiments (times are steps or rounds), and of `sim --trace` (microseconds, arrivals known at
// the send).

const PHASES = {
  Prepare: "election", Promise: "election", Nack: "election", Fetch: "election", FetchReply: "election",
  Accept: "bill", Accepted: "bill", Law: "law", Learn: "law", Chosen: "law", Values: "round",
  Election: "election", Answer: "election", Coordinator: "law",
};
export const phaseOf = (message) => PHASES[message] ?? "other";

// "0.4.0@1" is round 4 of p1.
export function showBallot(text) {
  const found = /^(\d+)\.(\d+)\.(\d+)@(\d+)$/.exec(text ?? "");
  return found ? `round ${found[2]} of p${found[4]}` : "nothing";
}

export const LINES_MAX = 1000000;
const UNSEEN = new Set(["Beat", "BeatReply"]);

function parseLine(text, number) {
  let object = null;
  try {
    object = JSON.parse(text);
  } catch {
    // Refused below.
  }
  if (typeof object !== "object" || object === null || typeof object.what !== "string")
    throw new Error(`line ${number} is not of a trace: open what synod --json or sim --trace wrote, or a run saved here`);
  return object;
}

// Reads a trace piece by piece. `cut`: there was more than the page can hold. Throws an Error whose message is for the person.
export async function parseTrace(file) {
  const lines = [];
  const reader = file.stream().pipeThrough(new TextDecoderStream()).getReader();
  let number = 0;
  let rest = "";
  const take = (text) => {
    ++number;
    if (text.trim() === "") return;
    const line = parseLine(text, number);
    if (!UNSEEN.has(line.message) && line.what !== "receive" && line.what !== "link") lines.push(line);
  };
  while (lines.length < LINES_MAX) {
    const { value, done } = await reader.read();
    const pieces = (rest + (value ?? "")).split("\n");
    rest = done ? "" : pieces.pop();
    for (const piece of pieces) take(piece);
    if (!done) continue;
    if (lines.length === 0) throw new Error("nothing happens in this file: open what synod --json or sim --trace wrote");
    return { lines, cut: false };
  }
  await reader.cancel();
  return { lines, cut: true };
}

const short = (text, length) => (text.length > length ? text.slice(0, length - 1) + "…" : text);

class Builder {
  constructor(unit) {
    this.model = { unit, processes: 0, rows: [], messages: [], marks: [], notes: [], lives: [], point: null, verdicts: [],
      title: "" };
    this.rowOf = new Map();
    this.open = new Map();  // messages under way, by id
  }

  row(line, time) {
    let row = this.rowOf.get(line.step);
    if (row === undefined) {
      row = this.model.rows.length;
      this.rowOf.set(line.step, row);
      this.model.rows.push({ step: line.step, time });
    }
    return row;
  }

  seen(process) { this.model.processes = Math.max(this.model.processes, process ?? 0); }

  send(key, line, time, row) {
    this.seen(line.from);
    this.seen(line.to);
    const message = { id: line.id ?? 0, from: line.from, to: line.to, name: line.message, phase: phaseOf(line.message),
      ballot: line.ballot, detail: line.detail, sent: row, sentTime: time, came: null, state: "flying" };
    this.model.messages.push(message);
    this.open.set(key, message);
    return message;
  }

  arrive(key, row, time, state) {
    const message = this.open.get(key);
    if (!message) return;
    this.open.delete(key);
    Object.assign(message, { came: row, cameTime: time, state });
  }

  mark(process, row, kind, text) {
    this.seen(process);
    this.model.marks.push({ process, row, kind, text });
  }

  decided(line, row) {
    const last = this.model.marks.at(-1);
    if (last?.kind === "decided" && last.row === row) last.text = `slots ${last.first}–${line.slot} decided`;
    else this.model.marks.push({ process: 0, row, kind: "decided", first: line.slot, text: `slot ${line.slot} decided` });
  }

  // A simulator's trace says at the send when a message arrives: it is drawn to the first row that is not earlier. Who is
  // down then does not get it.
  resolveDue() {
    const rows = this.model.rows;
    const changes = new Map();  // process: [row, down], by row
    for (const mark of this.model.marks)
      if (["crash", "restart", "start"].includes(mark.kind))
        changes.set(mark.process, [...(changes.get(mark.process) ?? []), [mark.row, mark.kind === "crash"]]);
    for (const m of this.model.messages) {
      if (m.due === undefined) continue;
      let low = 0;
      let high = rows.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (rows[middle].time < m.due) low = middle + 1;
        else high = middle;
      }
      if (low === rows.length) continue;
      const down = (changes.get(m.to) ?? []).filter(([row]) => row <= low).at(-1)?.[1] ?? false;
      Object.assign(m, { came: low, cameTime: m.due, state: down ? "lost" : "came" });
    }
  }

  note(line, time, phase, text, process) {
    this.model.notes.push({ step: line.step, time, phase, text, process });
  }
}

function synodLine(b, line, time) {
  const p = line.process;
  switch (line.what) {
    case "send": b.send(line.id, line, time, b.row(line, time)); break;
    case "deliver": b.arrive(line.id, b.row(line, time), time, "came"); break;
    case "lost": b.arrive(line.id, b.row(line, time), time, "lost"); break;
    case "start": b.mark(p, b.row(line, time), "start", line.input ? `x=${line.input}` : ""); break;
    case "restart": b.mark(p, b.row(line, time), "restart", "restarts"); break;
    case "crash": b.mark(p, b.row(line, time), "crash", "crash"); break;
    case "clock": b.mark(p, b.row(line, time), "clock", "its clock goes off"); break;
    case "output": b.mark(p, b.row(line, time), "output", `y=${line.value}`); break;
    case "durable": b.mark(p, b.row(line, time), `log-${line.record}`, `logged: ${line.record}`); break;
    case "point_of_no_return":
      b.model.point = { row: b.row(line, time), step: line.step, process: p, value: line.value, ballot: line.ballot };
      break;
    case "note":
      if (line.phase === "ROUND" && p === 0) b.mark(0, b.row(line, time), "round", line.text);
      if (/it leads$/.test(line.text)) b.mark(p, b.row(line, time), "leads", "leads");
      b.note(line, time, line.phase, line.text, p);
      break;
    case "verdict": b.model.verdicts.push(line); break;
    default: break;
  }
}

const SIM_NOTES = { asked: "other", answered: "other", announces: "LAW", learns: "LAW", fault: "FAULT", heal: "FAULT",
  damage: "FAULT", crash: "FAULT", start: "other", settled: "other", "faults stop": "FAULT", "refuses to start": "FAULT",
  "stops itself": "FAULT", BROKEN: "FAULT" };

function simText(line) {
  const rest = Object.entries(line).filter(([key]) => !["step", "us", "member", "what"].includes(key));
  const told = rest.map(([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
  return short(`${line.member ? `member ${line.member} ` : ""}${line.what}${told ? `: ${told}` : ""}`, 220);
}

function simLine(b, line, time) {
  const m = line.member;
  switch (line.what) {
    case "send": {
      const row = b.row(line, time);
      const arrivals = line.arrives_us ?? [];
      for (const us of arrivals) b.send("due", { ...line, from: m }, time, row).due = us;
      if (arrivals.length === 0) {
        b.send("lost", { ...line, from: m }, time, row);
        b.arrive("lost", row, time, "lost");
      }
      break;
    }
    case "durable": b.mark(m, b.row(line, time), "log-accept", `durable: ${(line.records ?? []).join("; ")}`); break;
    case "decided":
      b.decided(line, b.row(line, time));
      b.note(line, time, "POINT", `slot ${line.slot} is decided at ${showBallot(line.ballot)}, on ${line.disks} disks; nobody ` +
        "knows it yet", m);
      break;
    case "apply": b.mark(m, b.row(line, time), "output", `applies ${line.slot}`); break;
    case "start": b.mark(m, b.row(line, time), line.boot > 1 ? "restart" : "start", "starts"); break;
    case "crash": b.mark(m, b.row(line, time), "crash", "crash"); break;
    default: break;
  }
  const phase = SIM_NOTES[line.what];
  if (phase) {
    b.row(line, time);
    if (m) b.seen(m);
    b.note(line, time, phase, simText(line), m);
  }
}

// `lines`: objects; `unit`: "ms", "step", "half round"; for a simulator's trace it is ignored.
export function buildModel(lines, unit = "ms") {
  const sim = lines.some((line) => line.us !== undefined);
  const b = new Builder(sim ? "us" : unit);
  for (const line of lines) {
    if (line.what === "synod") {
      b.seen(line.processes);
      b.model.title = `${line.processes} processes, seed ${line.seed}, inputs ${line.inputs.join(", ")}`;
      b.model.command = line.repeat;
    } else if (line.what === "swarm") {
      b.model.title = `Simulator, seed ${line.seed}: ${line.draw}`;
      b.model.command = `decree-lab sim --seeds ${line.seed} --trace FILE`;
    } else if (sim) {
      simLine(b, line, line.us);
    } else {
      if (!UNSEEN.has(line.message)) synodLine(b, line, line.ms ?? line.step);
    }
  }
  b.resolveDue();
  if (b.model.processes === 0) throw new Error("nobody does anything in this trace");
  return b.model;
}

export function showTime(model, time, step) {
  if (model.unit === "us") return `${(time / 1000).toFixed(1)} ms`;
  if (model.unit === "ms") return `${time} ms`;
  if (model.unit === "half round") return `round ${Math.ceil(step / 2)}`;
  return `step ${step}`;
}

// The same model as it stood after `step`.
export function until(model, step) {
  let rows = model.rows.length;
  while (rows > 0 && model.rows[rows - 1].step > step) --rows;
  return {
    ...model,
    rows: model.rows.slice(0, rows),
    messages: model.messages.filter((m) => m.sent < rows)
      .map((m) => (m.came !== null && m.came >= rows ? { ...m, came: null, state: "flying" } : m)),
    marks: model.marks.filter((m) => m.row < rows),
    notes: model.notes.filter((n) => n.step <= step),
    point: model.point && model.point.row < rows ? model.point : null,
  };
}
