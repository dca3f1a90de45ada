#!/usr/bin/env python3
"""Side by side: three-member clusters of etcd and of decreed, in turn, on one disk, under one generator.

The generator is `decree bench`; it speaks plain etcd v3, so that both are measured by the same code.
Systems alternate within every round, so that both see the same minutes of the machine. The figure that
decides is the server CPU per request, summed over the three members: throughput and p99 move with
whatever else the machine does.

  bench/compare.py                          everything: about 40 minutes
  bench/compare.py --quick                  a glance: about 4 minutes
  bench/compare.py --only put,failover      some sections
  bench/compare.py --systems etcd           one system alone
  bench/compare.py --only failover-table    fail-over with default and tuned timers, leader killed or silent: about 40 minutes
"""
import argparse
import datetime
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import time

from failover import FailoverTable

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOADS = ["put", "range", "serializable", "txn", "mixed"]
SECTIONS = LOADS + ["start", "memory", "failover"]
ASKED_FOR_BY_NAME = ["failover-table"]
MEMBERS = 3
QUOTA_BYTES = 8 << 30  # the load runs keep their history; neither system shall stop at 2 GiB

# performance.md's ratios for this stage: (row, how many times better than etcd, which direction is better)
TARGETS = {
    ("put", 256, "throughput"): 4.0,
    ("put", 256, "cpu_us"): 5.0,
    ("put", 256, "p99_ms"): 5.0,
    ("put", 1, "p50_ms"): 2.0,
    ("range", 256, "throughput"): 6.0,
    ("range", 256, "cpu_us"): 8.0,
    ("memory", 0, "bytes_per_key"): 1.5,
    ("memory", 0, "restart_s"): 4.0,
    ("failover", 0, "median_ms"): 3.0,
}
EMPTY_MEMBER_BYTES_MAX = 15 << 20  # wanted of decreed, whatever etcd needs


class Failure(Exception):
    pass


class Cluster:
    """Three members of one system on loopback, in fresh data directories."""

    def __init__(self, system, binary, folder, port_base):
        self.system, self.binary, self.folder = system, binary, folder
        self.client_ports = [port_base + 10 * i for i in range(MEMBERS)]
        self.peer_ports = [port_base + 10 * i + 1 for i in range(MEMBERS)]
        self.processes = [None] * MEMBERS
        self.more_flags = []
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)

    @property
    def endpoints(self):
        return ",".join(f"127.0.0.1:{p}" for p in self.client_ports)

    @property
    def pids(self):
        return [p.pid for p in self.processes if p is not None and p.poll() is None]

    def start_member(self, i):
        # decreed takes etcd's own flags, so one command starts either.
        client = f"http://127.0.0.1:{self.client_ports[i]}"
        peer = f"http://127.0.0.1:{self.peer_ports[i]}"
        initial = ",".join(f"m{k}=http://127.0.0.1:{p}" for k, p in enumerate(self.peer_ports))
        command = [self.binary, "--name", f"m{i}", "--data-dir", os.path.join(self.folder, f"m{i}"),
                   "--listen-client-urls", client, "--advertise-client-urls", client,
                   "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                   "--initial-cluster", initial, "--initial-cluster-state", "new",
                   "--initial-cluster-token", "bench", "--quota-backend-bytes", str(QUOTA_BYTES), *self.more_flags]
        log = open(os.path.join(self.folder, f"m{i}.log"), "ab")
        self.processes[i] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()

    def start(self):
        for i in range(MEMBERS):
            self.start_member(i)

    def stop(self):
        running = [p for p in self.processes if p is not None]
        for p in running:
            if p.poll() is None:
                p.send_signal(signal.SIGTERM)
        for p in running:
            try:
                p.wait(timeout=30)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        self.processes = [None] * MEMBERS

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def check_alive(self):
        for i, p in enumerate(self.processes):
            if p is not None and p.poll() is not None:
                log = os.path.join(self.folder, f"m{i}.log")
                with open(log, "rb") as f:
                    tail = f.read()[-1500:].decode(errors="replace")
                raise Failure(f"member {i} of {self.system} ended with {p.returncode}; the end of {log}:\n{tail}")

    def disk_bytes(self):
        total = 0
        for folder, _, files in os.walk(self.folder):
            for name in files:
                try:
                    total += os.stat(os.path.join(folder, name)).st_blocks * 512
                except OSError:
                    pass
        return total / MEMBERS


def memory_of(pid):
    values = {"VmRSS": 0, "RssAnon": 0}
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            name = line.split(":")[0]
            if name in values:
                values[name] = int(line.split()[1]) * 1024
    return values["VmRSS"], values["RssAnon"]


class Bench:
    def __init__(self, args):
        self.args = args
        self.results = []  # raw samples, one dict each
        self.binaries = {"etcd": args.etcd, "decreed": args.decreed}
        self.current = None
        self.table = None  # of fail-over times, when asked for

    # ---- Tools ----------------------------------------------------------------------------------

    def say(self, text):
        print(text, file=sys.stderr, flush=True)

    def cluster(self, system, label):
        base = self.args.port_base + (0 if system == "etcd" else 100)
        self.current = Cluster(system, self.binaries[system], os.path.join(self.args.data_dir, f"{system}-{label}"), base)
        return self.current

    def drop(self):
        if self.current is not None:
            self.current.remove() if not self.args.keep else self.current.stop()
            self.current = None

    def decree(self, cluster, *arguments, timeout=600):
        command = [self.args.decree, "--endpoints", cluster.endpoints, *arguments]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=timeout, text=True)
        if done.returncode not in (0, 1):
            cluster.check_alive()
            raise Failure(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def load(self, cluster, *arguments, timeout=600):
        return json.loads(self.decree(cluster, "-w", "json", "bench", *arguments, timeout=timeout))

    def first_put(self, cluster, since):
        """Seconds from `since` until a put succeeded anywhere."""
        self.load(cluster, "put", "--clients", "3", "--connections", "3", "--total", "1", "--warmup", "0s",
                  "--duration", "120s", "--connect-timeout", "120s")
        return time.monotonic() - since

    def statuses(self, cluster, members=range(MEMBERS)):
        endpoints = ",".join(f"127.0.0.1:{cluster.client_ports[i]}" for i in members)
        try:
            text = subprocess.run([self.args.decree, "--endpoints", endpoints, "--timeout", "2s", "-w", "json", "status"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        except OSError as e:
            raise Failure(str(e))
        found = {}
        for line in text.splitlines():
            entry = json.loads(line)
            port = int(entry["endpoint"].rsplit(":", 1)[1])
            found[cluster.client_ports.index(port)] = entry["status"]
        return found

    def wait_whole(self, cluster, seconds=60):
        """Until every member answers and all name the same leader."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            cluster.check_alive()
            found = self.statuses(cluster)
            leaders = {s.get("leader", "0") for s in found.values()}
            if len(found) == MEMBERS and len(leaders) == 1 and "0" not in leaders:
                return found
            time.sleep(0.05)
        raise Failure(f"{cluster.system} is not whole after {seconds} s")

    def leader_index(self, cluster):
        for i, s in self.wait_whole(cluster).items():
            if s["leader"] == s["header"]["member_id"]:
                return i
        raise Failure("no member says that it leads")

    def settle(self, cluster, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            cluster.check_alive()
            time.sleep(0.1)

    def add(self, section, system, clients, round_number, values):
        self.results.append({"section": section, "system": system, "clients": clients, "round": round_number,
                             "load_average": os.getloadavg()[0], "values": values})

    # ---- Sections -------------------------------------------------------------------------------

    def run_load(self, section, system, round_number):
        a = self.args
        cluster = self.cluster(system, section)
        since = time.monotonic()
        cluster.start()
        self.add("start", system, 0, round_number, {"first_put_s": self.first_put(cluster, since)})
        self.wait_whole(cluster)
        op = "range" if section == "serializable" else section
        for clients in a.clients:
            arguments = [op, "--clients", str(clients), "--duration", f"{a.duration}s", "--warmup", f"{a.warmup}s",
                         "--pids", ",".join(map(str, cluster.pids))]
            if section != "put":
                arguments += ["--prefill", "10000"]
            if section == "serializable":
                arguments.append("--serializable")
            if clients == 1:
                arguments += ["--target", "leader"]  # one client's figure must not depend on which member it met
            report = self.load(cluster, *arguments)
            latency = report["latency_ms"]
            values = {"throughput": report["throughput"], "p50_ms": latency["p50"], "p99_ms": latency["p99"],
                      "p999_ms": latency["p99.9"], "cpu_us": report["server_cpu_us_per_request"],
                      "generator_us": report["generator_cpu_us_per_request"], "failed": report["failed"],
                      "rss_bytes": max(s["rss_bytes"] for s in report["servers"])}
            self.add(section, system, clients, round_number, values)
            self.say(f"  {system:8} {section:12} {clients:5} clients  {values['throughput']:10.0f}/s  p50 {values['p50_ms']:8.3f}"
                     f"  p99 {values['p99_ms']:8.3f} ms  CPU {values['cpu_us']:7.1f} us  (generator {values['generator_us']:.1f} us,"
                     f" {values['failed']} failed)")
            cluster.check_alive()
            revision = max(int(s["header"]["revision"]) for s in self.statuses(cluster).values())
            if revision > 1:
                self.decree(cluster, "--timeout", "60s", "compact", str(revision), "--physical")
        self.drop()

    def run_start(self, system, round_number):
        cluster = self.cluster(system, "start")
        since = time.monotonic()
        cluster.start()
        seconds = self.first_put(cluster, since)
        self.wait_whole(cluster)
        self.settle(cluster, 2)
        rss = [memory_of(pid)[0] for pid in cluster.pids]
        anonymous = [memory_of(pid)[1] for pid in cluster.pids]
        self.add("start", system, 0, round_number, {"first_put_s": seconds, "empty_rss_bytes": statistics.median(rss),
                                                     "empty_anonymous_bytes": statistics.median(anonymous)})
        self.say(f"  {system:8} start        first put after {seconds:.2f} s, an empty member {statistics.median(rss) / 2**20:.1f} MiB")
        self.drop()

    def run_memory(self, system, round_number):
        keys = self.args.memory_keys
        cluster = self.cluster(system, "memory")
        cluster.start()
        self.first_put(cluster, time.monotonic())
        self.wait_whole(cluster)
        empty = statistics.median(memory_of(pid)[0] for pid in cluster.pids)
        report = self.load(cluster, "put", "--clients", "256", "--keys", str(keys), "--prefill", str(keys), "--total", "1",
                           "--warmup", "0s", timeout=3600)
        self.settle(cluster, 5)
        loaded = statistics.median(memory_of(pid)[0] for pid in cluster.pids)
        loaded_anonymous = statistics.median(memory_of(pid)[1] for pid in cluster.pids)
        disk = cluster.disk_bytes()
        cluster.stop()
        since = time.monotonic()
        cluster.start()
        restart = self.first_put(cluster, since)
        count = int(json.loads(self.decree(cluster, "--timeout", "60s", "-w", "json", "get", "bench/", "--prefix", "--count-only"))["count"])
        if count != keys:
            raise Failure(f"{system}: {count} keys after the restart, {keys} expected")
        self.wait_whole(cluster)
        self.settle(cluster, 5)
        restarted = statistics.median(memory_of(pid)[0] for pid in cluster.pids)
        values = {"keys": keys, "load_per_s": keys / report["prefill_seconds"], "rss_bytes": loaded, "anonymous_bytes": loaded_anonymous,
                  "bytes_per_key": (loaded - empty) / keys, "restart_s": restart, "rss_after_restart_bytes": restarted,
                  "bytes_per_key_after_restart": (restarted - empty) / keys, "disk_bytes": disk}
        self.add("memory", system, 0, round_number, values)
        self.say(f"  {system:8} memory       {keys} keys at {values['load_per_s']:.0f}/s, {values['bytes_per_key']:.0f} B a key"
                 f" ({values['bytes_per_key_after_restart']:.0f} after restart), restart to first put {restart:.2f} s,"
                 f" disk {disk / 2**20:.0f} MiB a member")
        self.drop()

    def run_failover(self, system, round_number, trials):
        """Open-loop puts at all members; the leader gets SIGKILL; the longest time without any success."""
        cluster = self.cluster(system, "failover")
        cluster.start()
        self.first_put(cluster, time.monotonic())
        for _ in range(trials):
            victim = self.leader_index(cluster)
            self.settle(cluster, 1)
            seconds = 8
            load = subprocess.Popen([self.args.decree, "--endpoints", cluster.endpoints, "-w", "json", "bench", "put", "--rate", "500",
                                     "--warmup", "1s", "--duration", f"{seconds}s", "--connections", "9"],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            time.sleep(3)
            killed_at = time.time()
            cluster.processes[victim].kill()
            cluster.processes[victim].wait()
            out, err = load.communicate(timeout=120)
            if load.returncode != 0:
                raise Failure(f"the load ended with {load.returncode}: {err.strip()}")
            report = json.loads(out)
            # The killing's gap: the longest that touches the half second after it. The longest anywhere is kept beside it,
            # since on a busy machine a pause of tens of milliseconds can come from anything.
            kill_ms = (killed_at - report["started_unix_s"]) * 1e3
            touching = [g["length_ms"] for g in report["gaps"] if g["at_ms"] < kill_ms + 500 and g["at_ms"] + g["length_ms"] > kill_ms]
            gap = max(touching, default=report["gaps"][-1]["length_ms"])
            self.add("failover", system, 0, round_number,
                     {"gap_ms": gap, "longest_anywhere_ms": report["longest_gap_ms"], "unknown": report["unknown_outcomes"],
                      "failed": report["failed"]})
            self.say(f"  {system:8} failover     {gap:7.1f} ms without a put ({report['longest_gap_ms']:.1f} ms the longest anywhere,"
                     f" {report['failed']} failed)")
            cluster.start_member(victim)
        self.drop()

    def run(self):
        a = self.args
        for round_number in range(a.rounds):
            systems = a.systems if round_number % 2 == 0 else a.systems[::-1]
            for section in LOADS:
                if section not in a.only:
                    continue
                self.say(f"round {round_number + 1} of {a.rounds}: {section}")
                for system in systems:
                    self.run_load(section, system, round_number)
            for _ in range(a.starts if "start" in a.only else 0):
                for system in systems:
                    self.run_start(system, round_number)
        for round_number in range(a.memory_rounds if "memory" in a.only else 0):
            self.say(f"memory, round {round_number + 1} of {a.memory_rounds}")
            for system in a.systems if round_number % 2 == 0 else a.systems[::-1]:
                self.run_memory(system, round_number)
        if "failover" in a.only:
            left = a.failover_trials
            while left > 0:
                now = min(left, 5)
                for system in a.systems:
                    self.run_failover(system, 0, now)
                left -= now
        if "failover-table" in a.only:
            self.table = FailoverTable(self, Failure)
            self.table.run(a.table_trials)


# ---- The tables -----------------------------------------------------------------------------------

def summarise(results):
    """{(section, clients): {metric: {system: {median, low, high, n}}}}"""
    samples = {}
    for r in results:
        for metric, value in r["values"].items():
            samples.setdefault((r["section"], r["clients"]), {}).setdefault(metric, {}).setdefault(r["system"], []).append(value)
    failover = samples.get(("failover", 0))
    if failover and "gap_ms" in failover:
        failover["median_ms"] = {s: [statistics.median(v)] for s, v in failover["gap_ms"].items()}
        failover["worst_ms"] = {s: [max(v)] for s, v in failover["gap_ms"].items()}
    return {key: {metric: {system: {"median": statistics.median(v), "low": min(v), "high": max(v), "n": len(v)}
                           for system, v in by_system.items()} for metric, by_system in metrics.items()}
            for key, metrics in samples.items()}


def number(value, metric):
    if metric.endswith("_bytes"):
        return f"{value / 2**20:.1f} MiB"
    if metric == "throughput" or metric == "load_per_s":
        return f"{value:.0f}/s"
    unit = {"ms": " ms", "s": " s", "us": " us", "key": " B"}.get(metric.rsplit("_", 1)[-1], "")
    if metric.startswith("bytes_per_key"):
        unit = " B"
    return f"{value:.3g}{unit}" if value < 100 else f"{value:.0f}{unit}"


def ratio_of(metric, etcd, decreed):
    """How many times better decreed is."""
    higher_is_better = metric in ("throughput", "load_per_s")
    a, b = (decreed, etcd) if higher_is_better else (etcd, decreed)
    return a / b if b else None


ROWS = {
    **{s: ["throughput", "p50_ms", "p99_ms", "p999_ms", "cpu_us", "failed"] for s in LOADS},
    "start": ["first_put_s", "empty_rss_bytes", "empty_anonymous_bytes"],
    "memory": ["load_per_s", "rss_bytes", "bytes_per_key", "rss_after_restart_bytes", "bytes_per_key_after_restart", "restart_s", "disk_bytes"],
    "failover": ["median_ms", "worst_ms"],
}


def table(summary, systems):
    both = len(systems) == 2
    lines = [["what", "clients", "figure"] + systems + (["ratio", "wanted"] if both else [])]
    ratios = []
    for section in SECTIONS:
        for clients in sorted(c for s, c in summary if s == section):
            metrics = summary[(section, clients)]
            for metric in ROWS[section]:
                if metric not in metrics or (metric == "failed" and all(v["high"] == 0 for v in metrics[metric].values())):
                    continue
                by_system = metrics[metric]
                line = [section, str(clients) if clients else "", metric]
                for s in systems:
                    v = by_system.get(s)
                    spread = f" ({number(v['low'], metric)}..{number(v['high'], metric)})" if v and v["n"] > 1 else ""
                    line.append(number(v["median"], metric) + spread if v else "-")
                if both:
                    ratio = None
                    if all(s in by_system for s in ("etcd", "decreed")) and metric != "failed":
                        ratio = ratio_of(metric, by_system["etcd"]["median"], by_system["decreed"]["median"])
                    wanted = TARGETS.get((section, clients, metric))
                    line.append(f"{ratio:.2f}x" if ratio else "")
                    if metric == "empty_rss_bytes" and ratio is not None:
                        fine = by_system["decreed"]["median"] <= EMPTY_MEMBER_BYTES_MAX
                        line.append(f"{number(EMPTY_MEMBER_BYTES_MAX, metric)} {'reached' if fine else 'MISSED'}")
                    else:
                        line.append("" if wanted is None or ratio is None else f"{wanted:g}x {'reached' if ratio >= wanted else 'MISSED'}")
                    if ratio:
                        ratios.append({"section": section, "clients": clients, "metric": metric, "ratio": ratio, "wanted": wanted,
                                       "reached": None if wanted is None else ratio >= wanted})
                lines.append(line)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip() for line in lines)
    return text, ratios


# ---- The machine ----------------------------------------------------------------------------------

def first_line(command):
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=10)
        return done.stdout.strip().splitlines()[0]
    except (OSError, IndexError, subprocess.TimeoutExpired):
        return "?"


def machine(args):
    model = "?"
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo") as f:
        memory_gib = int(f.readline().split()[1]) / 2**20
    return {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"), "cores": os.cpu_count(), "cpu": model,
            "memory_gib": round(memory_gib, 1), "kernel": platform.release(), "load_average_before": os.getloadavg(),
            "file_system": first_line(["stat", "-f", "-c", "%T", args.data_dir]),
            "versions": {s: first_line([{"etcd": args.etcd, "decreed": args.decreed}[s], "--version"]) for s in args.systems},
            "generator": first_line([args.decree, "--version"])}


def parse_arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--systems", default="etcd,decreed", help="etcd, decreed or both (default)")
    p.add_argument("--only", default=",".join(SECTIONS), help="sections: " + ", ".join(SECTIONS) + "; only by name: " + ", ".join(ASKED_FOR_BY_NAME))
    p.add_argument("--quick", action="store_true", help="one short round, fewer clients, 100,000 keys, 3 fail-overs")
    p.add_argument("--rounds", type=int, help="of the load sections (3)")
    p.add_argument("--duration", type=float, help="seconds a measurement (5)")
    p.add_argument("--warmup", type=float, help="seconds before each (1)")
    p.add_argument("--clients", help="closed-loop clients (1,8,64,256,1000)")
    p.add_argument("--starts", type=int, help="fresh starts a round (2)")
    p.add_argument("--memory-keys", type=int, help="keys of 256 B (1000000)")
    p.add_argument("--memory-rounds", type=int, help="(1)")
    p.add_argument("--failover-trials", type=int, help="(10)")
    p.add_argument("--table-trials", type=int, help="of each kind in the failover-table (50)")
    p.add_argument("--data-dir", default=os.path.join(ROOT, "build", "bench-data"), help="where the members keep their data: the disk that is measured")
    p.add_argument("--json", default=os.path.join(ROOT, "build", "bench.json"), help="where the samples and ratios go")
    p.add_argument("--port-base", type=int, default=22100)
    p.add_argument("--keep", action="store_true", help="keep data and logs")
    p.add_argument("--etcd", default=os.environ.get("DECREE_ETCD") or "etcd", help="etcd's binary (environment: DECREE_ETCD)")
    p.add_argument("--decreed", default=os.path.join(ROOT, "build", "release", "decreed"))
    p.add_argument("--decree", default=os.path.join(ROOT, "build", "release", "decree"), help="the generator")
    a = p.parse_args()
    quick = {"rounds": 1, "duration": 2.0, "warmup": 0.5, "clients": "1,64,256", "starts": 2, "memory_keys": 100_000, "memory_rounds": 1,
             "failover_trials": 3, "table_trials": 5}
    full = {"rounds": 3, "duration": 5.0, "warmup": 1.0, "clients": "1,8,64,256,1000", "starts": 2, "memory_keys": 1_000_000,
            "memory_rounds": 1, "failover_trials": 10, "table_trials": 50}
    for name, value in (quick if a.quick else full).items():
        if getattr(a, name) is None:
            setattr(a, name, value)
    a.systems, a.only = a.systems.split(","), a.only.split(",")
    try:
        a.clients = [int(c) for c in a.clients.split(",")]
    except ValueError:
        p.error(f"--clients {a.clients}: write numbers separated by commas")
    for s in a.systems:
        if s not in ("etcd", "decreed"):
            p.error(f"there is no system \"{s}\"; choose from etcd, decreed")
    for s in a.only:
        if s not in SECTIONS + ASKED_FOR_BY_NAME:
            p.error(f"there is no section \"{s}\"; choose from {', '.join(SECTIONS + ASKED_FOR_BY_NAME)}")
    needed = {"the generator": a.decree, **{s: {"etcd": a.etcd, "decreed": a.decreed}[s] for s in a.systems}}
    for what, binary in needed.items():
        if shutil.which(binary) is None:
            hint = "apt-get install etcd-server" if what == "etcd" else "run ./dev build"
            p.error(f"{what} is missing ({binary}): {hint}")
    a.etcd = shutil.which(a.etcd)
    return a


def main():
    args = parse_arguments()
    os.makedirs(args.data_dir, exist_ok=True)
    info = machine(args)
    if info["load_average_before"][0] > 0.3 * (os.cpu_count() or 1):
        print(f"note: the machine is busy (load average {info['load_average_before'][0]:.2f}); trust CPU per request, not throughput and p99",
              file=sys.stderr)
    bench = Bench(args)
    failure = None
    try:
        bench.run()
    except (Failure, subprocess.TimeoutExpired) as e:
        failure = str(e)
    except KeyboardInterrupt:
        failure = "interrupted"
    finally:
        bench.args.keep = bench.args.keep or failure is not None
        bench.drop()
    info["load_average_after"] = os.getloadavg()
    summary = summarise(bench.results)
    text, ratios = table(summary, args.systems)
    print(f"{info['date']}; {info['cores']} cores ({info['cpu']}), {info['memory_gib']} GiB, Linux {info['kernel']}, {info['file_system']};"
          f" load average {info['load_average_before'][0]:.2f} before, {info['load_average_after'][0]:.2f} after")
    print("; ".join(f"{s}: {v}" for s, v in info["versions"].items()))
    print(f"three members on loopback, members and generator share the cores; medians of {args.rounds} rounds (lowest..highest); cpu_us is server"
          " CPU per request over all members; ratio: how many times better than etcd")
    print(text)
    if bench.table is not None:
        print(bench.table.markdown())
    arguments = {k: v for k, v in vars(args).items() if k in ("rounds", "duration", "warmup", "clients", "memory_keys", "failover_trials", "table_trials", "only", "quick")}
    document = {"machine": info, "arguments": arguments, "failure": failure, "ratios": ratios,
                "summary": [{"section": s, "clients": c, "metrics": m} for (s, c), m in summary.items()], "samples": bench.results,
                "failover_table": bench.table.document() if bench.table else None}
    with open(args.json, "w") as f:
        json.dump(document, f, indent=1)
    print(f"samples and ratios: {os.path.relpath(args.json)}")
    if failure is not None:
        print(f"STOPPED EARLY: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
