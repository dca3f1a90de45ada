"""The table of fail-over times: etcd and decreed in turn, default and tuned timers, a killed and a silent leader.

Part of bench/compare.py (`./dev bench --only failover-table`). Open-loop puts go to all three members all the time. The leader gets SIGKILL or
SIGSTOP; the trial's figure is the longest time without any acknowledged put that touches the half second after the signal. A trial ends with
the member back and one leader known to all. Both systems alternate in batches of half a minute, each on fresh directories.
"""
import json
import signal
import statistics
import subprocess
import time

TIMERS = {"default": (100, 1000), "tuned": (10, 100)}  # heartbeat and election time-out, ms
FAULTS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
WHAT = {"kill": "kill -9 of the leader", "stop": "SIGSTOP of the leader"}
BATCH_SECONDS = 30
RATE = 500  # puts a second: no gap below 2 ms can be seen
# Wanted with default timers: the largest share of etcd's median.
AIMS = {("default", "kill"): 1 / 6, ("default", "stop"): 1 / 2}


class FailoverTable:
    def __init__(self, bench, failure):
        self.bench = bench  # clusters, load and status of compare.py
        self.failure = failure
        self.gaps = {}  # (timers, fault, system): ms of each trial

    def run(self, trials):
        for timers in TIMERS:
            for fault in FAULTS:
                self.bench.say(f"fail-over, {timers} timers, {WHAT[fault]}: {trials} trials each")
                systems = list(self.bench.args.systems)
                while any(len(self.gaps.get((timers, fault, s), [])) < trials for s in systems):
                    for system in systems:
                        found = self.gaps.setdefault((timers, fault, system), [])
                        if len(found) < trials:
                            found += self.batch(timers, fault, system, trials - len(found))
                    systems.reverse()

    def batch(self, timers, fault, system, trials_max):
        heartbeat, election = TIMERS[timers]
        cluster = self.bench.cluster(system, "failover")
        cluster.more_flags = ["--heartbeat-interval", str(heartbeat), "--election-timeout", str(election)]
        cluster.start()
        self.bench.first_put(cluster, time.monotonic())
        self.bench.wait_whole(cluster)
        load = subprocess.Popen([self.bench.args.decree, "--endpoints", cluster.endpoints, "-w", "json", "bench", "put", "--rate", str(RATE),
                                 "--warmup", "1s", "--duration", f"{BATCH_SECONDS}s", "--connections", "9"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 1 + BATCH_SECONDS
        at = []
        self.bench.settle(cluster, 1.5)
        while time.monotonic() < end - 6 and len(at) < trials_max:
            at.append(self.trial(cluster, fault))
        out, err = load.communicate(timeout=120)
        if load.returncode != 0:
            raise self.failure(f"the load ended with {load.returncode}: {err.strip()}")
        gaps = [self.gap_of(json.loads(out), moment) for moment in at]
        for gap in gaps:
            self.bench.add("failover-table", system, 0, 0, {f"{timers}_{fault}_ms": gap})
        self.bench.say(f"  {system:8} " + " ".join(f"{gap:.1f}" for gap in gaps) + " ms")
        self.bench.drop()
        return gaps

    def trial(self, cluster, fault):
        victim = self.bench.leader_index(cluster)
        self.bench.settle(cluster, 0.5)  # longer than what a restart leaves behind, not a multiple of any timer
        process = cluster.processes[victim]
        moment = time.time()
        process.send_signal(FAULTS[fault])
        if fault == "kill":
            process.wait()
        self.wait_new_leader(cluster, victim)
        if fault == "kill":
            cluster.start_member(victim)
        else:
            process.send_signal(signal.SIGCONT)
        self.bench.wait_whole(cluster)
        return moment

    def wait_new_leader(self, cluster, victim, seconds=30):
        """Until the other two name one of themselves: then puts go on, and the old leader may come back."""
        others = [i for i in range(len(cluster.processes)) if i != victim]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.bench.statuses(cluster, others)
            ids = {s["header"]["member_id"] for s in found.values()}
            leaders = {s.get("leader", "0") for s in found.values()}
            if len(found) == len(others) and len(leaders) == 1 and leaders <= ids:
                time.sleep(0.3)  # the gap ends while the old leader is still away
                return
        raise self.failure(f"{cluster.system}: nobody took over within {seconds} s")

    @staticmethod
    def gap_of(report, moment):
        at = (moment - report["started_unix_s"]) * 1e3
        touching = [g["length_ms"] for g in report["gaps"] if g["at_ms"] < at + 500 and g["at_ms"] + g["length_ms"] > at]
        # The report keeps the longest 256: a trial with none of them was shorter than all of those.
        return max(touching, default=report["gaps"][-1]["length_ms"])

    def figures(self):
        """{(timers, fault): {system: {p50, p99, max, trials}}}"""
        table = {}
        for (timers, fault, system), gaps in self.gaps.items():
            if gaps:
                ordered = sorted(gaps)
                table.setdefault((timers, fault), {})[system] = {
                    "p50": statistics.median(ordered), "p99": ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
                    "max": ordered[-1], "trials": len(ordered)}
        return table

    def markdown(self):
        lines = ["| timers (heartbeat/election, ms) | leader | trials | etcd p50 / p99 / max ms | decreed p50 / p99 / max ms | p50 ratio | aim |",
                 "|---|---|---|---|---|---|---|"]
        for (timers, fault), systems in self.figures().items():
            told = {s: f"{v['p50']:.0f} / {v['p99']:.0f} / {v['max']:.0f}" for s, v in systems.items()}
            trials = "/".join(str(v["trials"]) for v in systems.values())
            ratio, aim = "", ""
            if len(systems) == 2:
                share = systems["decreed"]["p50"] / systems["etcd"]["p50"]
                ratio = f"1/{1 / share:.1f}"
                wanted = AIMS.get((timers, fault))
                if wanted is not None:
                    aim = f"1/{1 / wanted:.0f} {'reached' if share <= wanted else 'MISSED'}"
            heartbeat, election = TIMERS[timers]
            lines.append(f"| {timers} ({heartbeat}/{election}) | {'killed' if fault == 'kill' else 'silent'} | {trials} | {told.get('etcd', '-')} | "
                         f"{told.get('decreed', '-')} | {ratio} | {aim} |")
        return "\n".join(lines)

    def document(self):
        return [{"timers_ms": TIMERS[t], "fault": f, "gaps_ms": {s: self.gaps.get((t, f, s), []) for s in self.bench.args.systems},
                 "figures": figures} for (t, f), figures in self.figures().items()]
