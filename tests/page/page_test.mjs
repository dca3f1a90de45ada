// Clicks through the laboratory's page in headless Chromium. Screenshots are part of the output: PAGE_OUT/*.png.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import test, { after, before } from "node:test";
import { promisify } from "node:util";

const { PAGE_OUT: out, PAGE_LAB: lab, PAGE_PLANTED: planted, PAGE_CHROMIUM: executablePath } = process.env;
const { chromium } = createRequire(`${out}/`)("playwright-core");
const run = promisify(execFile);
const shots = `${out}/screenshots`;
const CAP = 60000;  // ms for anything

const servers = [];
let browser;
let address;

// The page's address, as the program prints it.
async function serve(program, ...options) {
  const server = spawn(program, ["serve", ...options], { stdio: ["ignore", "pipe", "inherit"] });
  servers.push(server);
  return new Promise((resolve, reject) => {
    let said = "";
    server.on("exit", (code) => reject(new Error(`${program} serve ended with ${code}: ${said}`)));
    server.stdout.on("data", (bytes) => {
      said += bytes;
      const found = /http:\/\/127\.0\.0\.1:\d+\//.exec(said);
      if (found) resolve(found[0]);
    });
  });
}

const complaints = [];
async function open(t, url = address, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(CAP);
  t.after(() => context.close());
  const page = await context.newPage();
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && complaints.push(`${t.name}: ${m.text()}`));
  page.on("pageerror", (e) => complaints.push(`${t.name}: ${e}`));
  await page.goto(url);
  await page.locator("#banner:not(:empty)").waitFor();
  await idle(page);
  return page;
}
const idle = (page) => page.waitForFunction(() => !document.body.hasAttribute("aria-busy"));
async function press(page, button) {
  await page.click(button);
  await idle(page);
}
async function scene(page, name) {
  await page.selectOption("#scene", name);
  await idle(page);
}
const picture = (page) => page.locator("#diagram").innerHTML();
const stepShown = async (page) => Number(/step (\d+)/.exec(await page.textContent("#where"))[1]);
async function slideTo(page, step) {
  await page.locator("#slider").fill(String(step));
  await idle(page);
}
const checks = (page, state) => page.locator(`#checks li.${state}`).count();
// Until a message of that name is under way.
async function stepUntilFlying(page, name) {
  for (let i = 0; i < 60; ++i) {
    const message = page.locator(`#diagram .message.flying[aria-label^="${name} "]`).first();
    if (await message.count() > 0) return message;
    await press(page, "#step");
  }
  throw new Error(`no ${name} within 60 steps`);
}

before(async () => {
  mkdirSync(shots, { recursive: true });
  address = await serve(lab);
  browser = await chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
});
after(async () => {
  await browser?.close();
  for (const server of servers) {
    server.removeAllListeners("exit");
    server.kill();
  }
});

test("a run is built, stepped through and rewound, and going forward again shows the same", async (t) => {
  const page = await open(t);
  await page.fill("#members", "5");
  await page.fill("#inputs", "a,b,c,d,e");
  await page.fill("#seed", "7");
  await press(page, "#build button");
  assert.equal(await stepShown(page), 0);
  assert.equal(await page.locator("#member-list .member").count(), 5);
  for (let i = 0; i < 12; ++i) await press(page, "#step");
  const at = await stepShown(page);
  const before = await picture(page);
  assert.ok(await page.locator("#diagram .message.election").count() > 0, "an Election is drawn in its colour");
  await press(page, "#back");
  assert.ok(await stepShown(page) < at);
  assert.notEqual(await picture(page), before);
  await press(page, "#reset");
  assert.equal(await page.locator("#diagram .message").count(), 0);
  await slideTo(page, at);
  assert.equal(await picture(page), before, "a pure function of the seed");
  await press(page, "#end");
  assert.match(await page.textContent("#banner"), /Point of no return.*written by p1, p2, p3, p4, p5/s);
  assert.equal(await checks(page, "holds"), 14);
  assert.equal(await checks(page, "broken"), 0);
});

test("a message is dropped by a click, delayed, and let go next", async (t) => {
  const page = await open(t);
  const prepare = await stepUntilFlying(page, "Prepare");
  const label = await prepare.getAttribute("aria-label");
  await prepare.locator(".tip").click();
  await page.click("#menu [data-hand=drop]");
  await idle(page);
  assert.equal(await page.locator("#diagram .message.election.lost").count(), 1);
  assert.match(await page.textContent("#story"), /the Prepare from p\d to p\d is lost/);
  assert.equal(await page.locator(`#diagram .message.flying[aria-label="${label}"]`).count(), 0);
  const due = async () => Number(/due (\d+)/.exec(await page.textContent("#flights li:has-text('Prepare')"))[1]);
  const before = await due();
  await press(page, "#flights li:has-text('Prepare') button:text-is('+100')");
  assert.equal(await due(), before + 100);
  await press(page, "#flights li:has-text('Prepare') button:text-is('Go')");
  await press(page, "#step");
  assert.equal(await page.locator("#flights li:has-text('Prepare')").count(), 0, "it came before everything else");
  await press(page, "#end");
  assert.match(await page.textContent("#banner"), /Point of no return/);
  assert.equal(await checks(page, "broken"), 0);
});

test("after the point of no return the value stands although the leader crashes; what was done later is forgotten", async (t) => {
  const page = await open(t);
  await scene(page, "synod-point");
  assert.equal(await page.locator("#banner.point").count(), 0);
  await press(page, "#point");
  assert.equal(await page.locator("#banner.point").count(), 1);
  assert.equal(await page.locator("#diagram .point-band").count(), 1, "lit in the diagram");
  const [, value] = /hold ‘(\w+)’/.exec(await page.textContent("#banner"));
  const leader = /p\d/.exec(await page.textContent(".member.leader b"))[0];
  await page.screenshot({ path: `${shots}/point-desktop.png`, fullPage: true });
  const at = await stepShown(page);
  await press(page, `button[aria-label="Crash ${leader}"]`);
  assert.equal(await page.locator(".member.down").count(), 1);
  await press(page, "#end");
  const outputs = await page.locator(".member:not(.down) dd:first-of-type").allTextContents();
  assert.deepEqual(outputs.map((o) => /y = (\w+)/.exec(o)?.[1]), [value, value]);
  assert.equal(await checks(page, "broken"), 0);
  await page.screenshot({ path: `${shots}/crashed-desktop.png`, fullPage: true });
  await slideTo(page, at - 1);
  assert.equal(await page.locator("#banner.point").count(), 0, "rewound: not yet");
  assert.equal(await page.locator(".member.down").count(), 0);
  await press(page, `button[aria-label="Crash ${leader}"]`);
  await press(page, `button[aria-label="Restart ${leader}"]`);
  assert.match(await page.textContent("#story"), new RegExp(`${leader} restarts and looks at its log`));
  assert.match(await page.textContent("#where"), new RegExp(`of ${at - 1},`), "the other future is gone");
});

test("before the point of no return another value wins", async (t) => {
  const page = await open(t);
  await scene(page, "synod-point");
  await stepUntilFlying(page, "Accept");
  const leader = /p\d/.exec(await page.textContent(".member.leader b"))[0];
  const input = /x = (\w)/.exec(await page.textContent(".member.leader"))[1];
  for (let i = 0; i < 2; ++i) await press(page, '#flights button[aria-label^="Accept from"][aria-label$=": drop"] >> nth=0');
  await press(page, `button[aria-label="Crash ${leader}"]`);
  await press(page, "#end");
  const [, value] = /hold ‘(\w+)’/.exec(await page.textContent("#banner"));
  assert.notEqual(value, input);
  assert.equal(await checks(page, "broken"), 0);
});

test("a cut link lets nothing pass until it is joined", async (t) => {
  const page = await open(t);
  for (const link of ["p1–p2", "p1–p3", "p2–p3"]) await press(page, `#links button:text-is("Cut ${link}")`);
  await press(page, "#end");
  assert.equal(await page.locator("#diagram .message.came").count(), 0);
  assert.match(await page.textContent("#banner"), /Nothing is decided.*Ten more seconds have passed/);
  for (const link of ["p1–p2", "p1–p3", "p2–p3"]) await press(page, `#links button:text-is("Join ${link}")`);
  await press(page, "#end");
  assert.match(await page.textContent("#banner"), /Point of no return/);
});

test("a run is saved, opened again, and told by the command as the page told it", async (t) => {
  const page = await open(t);
  await press(page, "#point");
  await press(page, 'button[aria-label="Crash p1"]');
  await press(page, "#end");
  const story = await page.locator("#story .text").allTextContents();
  const download = page.waitForEvent("download");
  await page.click("#save-run");
  const file = `${out}/run.schedule`;
  await (await download).saveAs(file);
  const command = /^# decree-lab (synod .*) --schedule/.exec(readFileSync(file, "utf8"))[1];
  const told = (await run(lab, [...command.split(" "), "--schedule", file])).stdout;
  for (const line of story.filter((text) => !text.startsWith("POINT"))) assert.ok(told.includes(line), line);
  const before = await picture(page);
  await press(page, "#reset");
  await page.setInputFiles("#file", file);
  await idle(page);
  await page.waitForFunction((p) => document.getElementById("diagram").innerHTML === p, before);
  await page.reload();
  await page.locator("#banner:not(:empty)").waitFor();
  await idle(page);
  assert.equal(await picture(page), before, "the address remembers the run");
});

test("traces of the simulator and of synod open from a file; another file is refused with a sentence", async (t) => {
  const page = await open(t);
  const synod = `${out}/synod.jsonl`;
  await run(lab, ["synod", "--scene", "restart", "--json", synod]);
  await page.setInputFiles("#file", synod);
  await page.locator("#title:text-is('synod.jsonl')").waitFor();
  assert.match(await page.textContent("#banner"), /Point of no return/);
  assert.ok(await page.locator("#diagram .mark.crash").count() > 0);
  assert.equal(await checks(page, "holds"), 4, "the trace's own verdicts");
  await press(page, "#reset");
  await press(page, "#step");
  assert.ok(await stepShown(page) > 0);
  const sim = `${out}/sim.jsonl`;
  await run(lab, ["sim", "--seeds", "5", "--scale", "0.02", "--trace", sim], { maxBuffer: 1 << 26 });
  await page.setInputFiles("#file", sim);
  await page.locator("#title:text-is('sim.jsonl')").waitFor();
  assert.ok(await page.locator("#diagram .message.bill").count() > 5);
  assert.ok(await page.locator("#story li.point").count() > 0, "decided slots are told");
  await page.screenshot({ path: `${shots}/simulator-desktop.png`, fullPage: true });
  for (const [text, sentence] of [["not json\n", /line 1 is not of a trace/], ['{"what":"a"}\n{"a":1}\n', /line 2/], ["", /nothing happens/]]) {
    const bad = `${out}/bad.jsonl`;
    writeFileSync(bad, text);
    await page.setInputFiles("#file", bad);
    await page.locator("#banner.bad").waitFor();
    await page.waitForFunction((s) => new RegExp(s).test(document.getElementById("banner").textContent), sentence.source);
  }
});

test("every scene opens, and every claim in it holds", async (t) => {
  const page = await open(t);
  const names = await page.locator("#scene option:not([hidden])").evaluateAll((all) => all.map((o) => o.value));
  assert.ok(names.length >= 23, names.join(" "));
  for (const name of names) {
    await scene(page, name);
    assert.ok((await page.textContent("#paragraph")).length > 60, name);
    assert.equal(await page.locator("#banner.bad").count(), 0, name);
    if (name.startsWith("synod-")) await press(page, "#end");
    const drawn = await page.locator("#stage").isVisible();
    const printed = await page.locator("#output-box").isVisible();
    assert.ok(drawn || printed, name);
    if (drawn) assert.ok(await page.locator("#diagram .message").count() > 3, name);
    if (printed) assert.match(await page.textContent("#output"), /holds:/, name);
    assert.doesNotMatch(await page.textContent("main"), /BROKEN/, name);
    if (["synod-two-leaders", "synchronous-contradiction", "flp-adversary"].includes(name))
      await page.screenshot({ path: `${shots}/${name}-desktop.png`, fullPage: true });
  }
});

test("everything can be done with the keyboard alone, and the focus is always to be seen", async (t) => {
  const page = await open(t);
  const key = async (name) => {
    await page.keyboard.press(name);
    await idle(page);
  };
  const seen = new Set();
  for (let i = 0; i < 40; ++i) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const e = document.activeElement;
      const style = getComputedStyle(e);
      return { id: e.id || e.dataset.key || e.tagName, visible: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 };
    });
    if (at.id !== "BODY") assert.ok(at.visible, `the focus on ${at.id} is invisible`);
    seen.add(at.id);
  }
  for (const id of ["scene", "open", "members", "inputs", "seed", "step", "end", "slider", "power1", "link1,2"])
    assert.ok(seen.has(id), `Tab never reaches ${id}`);
  await page.evaluate(() => document.activeElement.blur());
  for (let i = 0; i < 30 && (await page.locator("#diagram [data-message]").count()) === 0; ++i) await key("ArrowRight");
  const at = await stepShown(page);
  await key("m");
  assert.match(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), /^\w+ from p\d to p\d.*Enter/);
  await page.screenshot({ path: `${shots}/focus-desktop.png` });
  await key("Enter");
  assert.ok(await page.locator("#menu").isVisible());
  await key("Escape");
  await key("m");
  await key("x");
  assert.equal(await page.locator("#diagram .message.lost").count(), 1);
  await key("1");
  assert.equal(await page.locator(".member.down b").textContent(), "p1");
  await key("1");
  assert.equal(await page.locator(".member.down").count(), 0);
  await key("p");
  assert.equal(await page.locator("#banner.point").count(), 1);
  await key("ArrowLeft");
  await key("Home");
  assert.equal(await stepShown(page), 0);
  await key("n");
  await key("End");
  assert.ok(await stepShown(page) > at);
  assert.equal(await checks(page, "broken"), 0);
});

test("on a phone of 360 pixels nothing sticks out, in the dark as well; without motion nothing moves", async (t) => {
  for (const colorScheme of ["dark", "light"]) {
    const page = await open(t, address, { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, colorScheme,
      reducedMotion: "reduce" });
    await press(page, "#point");
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
    await page.locator("#diagram .message.flying .tip").last().tap();
    await page.click("#menu [data-hand=delay]");
    await idle(page);
    assert.match(await page.textContent("#story"), /comes 100 ms later/);
    await page.evaluate(() => document.getElementById("banner").scrollIntoView());
    await page.screenshot({ path: `${shots}/phone-${colorScheme}.png` });
    await page.screenshot({ path: `${shots}/phone-${colorScheme}-whole.png`, fullPage: true });
    const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.equal(paper, colorScheme === "dark" ? "rgb(21, 23, 27)" : "rgb(251, 250, 247)");
    const moving = await page.evaluate(() => [...document.querySelectorAll("*")].filter((e) => {
      const style = getComputedStyle(e);
      return style.animationName !== "none" || parseFloat(style.transitionDuration) > 0;
    }).length);
    assert.equal(moving, 0);
    await page.selectOption("#scene", "synchronous-chain");
    await idle(page);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
  }
});

test("the picture of a run is saved as a file that stands alone", async (t) => {
  const page = await open(t);
  await scene(page, "synod-point");
  await press(page, "#point");
  const leader = /p\d/.exec(await page.textContent(".member.leader b"))[0];
  await press(page, `button[aria-label="Crash ${leader}"]`);
  await press(page, "#end");
  const download = page.waitForEvent("download");
  await page.click("#save-picture");
  const file = `${shots}/run.svg`;
  await (await download).saveAs(file);
  const svg = readFileSync(file, "utf8");
  assert.match(svg, /^<svg [^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
  assert.match(svg, /point-band/);
  assert.doesNotMatch(svg, /https?:\/\/(?!www\.w3\.org)/, "it names no other file");
  const viewer = await page.context().newPage();
  await viewer.goto(`file://${file}`);
  const stroke = await viewer.evaluate(() => getComputedStyle(document.querySelector(".message.bill .wire")).stroke);
  assert.equal(stroke, "rgb(168, 90, 0)", "the colour of its phase");
  await viewer.screenshot({ path: `${shots}/run.png` });
});

// The broken twin: with a fault inside the core, the page has to turn red.
test("a fault planted in the core turns an invariant red", async (t) => {
  const bug = "R74-small-quorum";
  const hunt = await run(planted, ["synod", "--plant", bug, "--seeds", "1..2"], { maxBuffer: 1 << 26 }).catch((e) => e);
  const again = /^BROKEN I\d+.*\n\s*again: decree-lab (synod .*)$/m.exec(hunt.stdout);
  assert.ok(again, `no seed breaks ${bug}: ${hunt.stdout}`);
  const options = again[1].split(" ");
  const schedule = (await run(planted, [...options, "--show-schedule"])).stdout;
  const trace = await run(planted, [...options, "--json", "-"], { maxBuffer: 1 << 26 }).catch((e) => e);
  const first = JSON.parse(trace.stdout.split("\n")[0]);
  const file = `${out}/broken.schedule`;
  writeFileSync(file, `# decree-lab synod --processes ${first.processes} --inputs ${first.inputs.join(",")} --seed ${first.seed} ` +
    `--schedule FILE\n${schedule}`);
  const page = await open(t, await serve(planted, "--plant", bug));
  await page.setInputFiles("#file", file);
  await page.locator("#title:text-is('broken.schedule')").waitFor();
  await idle(page);
  assert.equal(await checks(page, "broken"), 0);
  await press(page, "#end");
  assert.ok(await checks(page, "broken") > 0);
  assert.match(await page.textContent("#checks li.broken"), /^I\d+ /);
  assert.equal(await page.locator("#banner.bad").count(), 1);
  await page.screenshot({ path: `${shots}/broken-desktop.png`, fullPage: true });
  // The same run on the core as it ships.
  const whole = await open(t);
  await whole.setInputFiles("#file", file);
  await whole.locator("#title:text-is('broken.schedule')").waitFor();
  await idle(whole);
  await press(whole, "#end");
  assert.equal(await checks(whole, "broken"), 0);
});

function request(path, { method = "GET", headers = {}, body = "" } = {}) {
  return new Promise((resolve, reject) => {
    const question = http.request(new URL(path, address), { method, headers }, (answer) => {
      let text = "";
      answer.on("data", (bytes) => { text += bytes; });
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, text }));
    });
    question.on("error", reject);
    question.end(body);
  });
}

test("other names, other pages and bad runs are refused with a sentence", async () => {
  const port = new URL(address).port;
  const type = { "content-type": "text/x-decree-run" };
  const good = "processes 3\ninputs 0,1,1\nseed 1\ncalm 0\nto 5\n";
  assert.equal((await request("/api/run", { method: "POST", headers: type, body: good })).status, 200);
  const cases = [
    [403, /answers to no other name/, "/", { headers: { host: `rebound.example:${port}` } }],
    [403, /answers to no other name/, "/", { headers: { host: "127.0.0.1:1" } }],
    [403, /another page has asked/, "/api/run", { method: "POST", headers: { ...type, origin: "http://elsewhere.example" }, body: good }],
    [415, /text\/x-decree-run/, "/api/run", { method: "POST", headers: { "content-type": "text/plain" }, body: good }],
    [405, /takes POST/, "/api/run", {}],
    [404, /not found/, "/etc/passwd", {}],
    [413, /larger than 32768 bytes/, "/api/run", { method: "POST", headers: type, body: "#".repeat(40000) }],
    [400, /1 to 7 processes/, "/api/run", { method: "POST", headers: type, body: "processes 8\n" }],
    [400, /need 3 inputs/, "/api/run", { method: "POST", headers: type, body: "processes 3\ninputs 0\n" }],
    [400, /letters or digits/, "/api/run", { method: "POST", headers: type, body: "processes 1\ninputs <b>\n" }],
    [400, /line 3.*at most 100000 steps/, "/api/run", { method: "POST", headers: type, body: "processes 1\ninputs 0\nto 100001\n" }],
    [400, /line 3: unknown statement 'explode'/, "/api/run", { method: "POST", headers: type, body: "processes 1\ninputs 0\nexplode\n" }],
    [400, /at most 500 actions/, "/api/run", { method: "POST", headers: type, body: "processes 1\ninputs 0\n" + "step 1 crash 1\n".repeat(501) }],
  ];
  for (const [status, sentence, path, options] of cases) {
    const answer = await request(path, options);
    assert.equal(answer.status, status, `${path} ${answer.text}`);
    assert.match(answer.text, sentence);
    assert.equal(answer.headers["access-control-allow-origin"], undefined);
  }
  await assert.rejects(run(lab, ["serve", "--listen", "0.0.0.0:0"], { timeout: CAP }), (e) => e.code === 2 && /loopback only/.test(e.stderr));
  await assert.rejects(run(lab, ["serve", "--listen", `127.0.0.1:${port}`], { timeout: CAP }), (e) => e.code === 2 && /in use/.test(e.stderr));
});

test("the console stayed silent through all of this", () => {
  assert.deepEqual(complaints, []);
});
