"""Short histories on real processes, each under a mixture of faults drawn from its seed.

Links cut both ways or one way, slow links, SIGSTOP, SIGKILL, power loss, a full disk, the n-th sync failing; any of them at
once. Every history begins with an empty cluster. After the faults all members must serve and hold the same, and the history,
recorded outside the servers, is judged by both checkers of the simulator.
"""
import json
import os
import random
import shutil
import time

from cluster import Cluster, Programs, Recorder, arguments_for, folder_of, poll, run_main, seed_of
from disks import Disk
from faults import KINDS, WEIGHTS
from network import Network, enter_private_network


class World:
    """What the faults of one history share."""

    def __init__(self, arguments, programs, rng, network, disks, cluster, counts):
        self.rng = rng
        self.network = network
        self.disks = disks
        self.cluster = cluster
        self.members = cluster.members
        self.counts = counts
        self.busy = set()
        self.busy_links = set()
        self.preload = os.path.join(programs.tools, "libfaulty_sync.so")
        self.last_leader = None

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def disk(self, member):
        return self.disks[member.number]

    def sync_fault_file(self, member):
        return os.path.join(self.cluster.folder, f"{member.name}.sync-fault")

    def start(self, member):
        member.start({"LD_PRELOAD": self.preload, "SYNC_FAULT_FILE": self.sync_fault_file(member)})

    def leader_guess(self):
        """Whom the members that answer call leader; in the middle of faults that may be nobody."""
        ids = {}
        for number, status in self.cluster.statuses().items():
            ids[status["header"]["member_id"]] = number
            self.last_leader = status.get("leader", self.last_leader)
        number = ids.get(self.last_leader)
        return self.members[number - 1] if number else None


def make_trouble(world, arguments, kinds, log):
    """Begins and ends faults until the time is over; then ends them all."""
    rng = world.rng
    active = []
    until = time.monotonic() + arguments.seconds
    weights = [WEIGHTS[k] for k in kinds]
    while time.monotonic() < until:
        if active and (len(active) >= 3 or rng.random() < 0.4):
            end_fault(active, rng.randrange(len(active)), log)
        else:
            kind = rng.choices(kinds, weights)[0]
            fault = KINDS[kind](world)
            done = fault.begin()
            if done:
                world.count(kind)
                active.append(fault)
                log.append(f"{done}")
            else:
                fault.give_back()
        world.cluster.check_alive()
        pause = min(until, time.monotonic() + rng.uniform(0.0, arguments.seconds / 5))
        poll("the load goes on", 60, lambda: time.monotonic() >= pause)
    while active:
        end_fault(active, rng.randrange(len(active)), log)


def end_fault(active, index, log):
    fault = active.pop(index)
    fault.end()
    fault.give_back()
    log.append(f"/{type(fault).__name__}")


def one_history(programs, arguments, seed, network, disks, folder, counts):
    rng = random.Random(seed)
    kinds = [k for k in arguments.faults.split(",") if rng.random() < 0.7] or [rng.choice(arguments.faults.split(","))]
    log = []
    began = time.monotonic()
    with Cluster(programs.server, os.path.join(folder, "cluster"), snapshot_count=rng.choice([50, 500, 5000]),
                 heartbeat_ms=arguments.heartbeat_ms,
                 election_ms=arguments.heartbeat_ms * 10, network=network) as cluster:
        for m in cluster.members:
            m.folder = disks[m.number].place
            m.data_dir = os.path.join(m.folder, "data")
            shutil.rmtree(m.data_dir, ignore_errors=True)
        world = World(arguments, programs, rng, network, disks, cluster, counts)
        for m in cluster.members:
            world.start(m)
        cluster.wait_serving()
        history = os.path.join(cluster.folder, "history.jsonl")
        value_bytes = rng.choice([32, 32, 4096]) if "full" not in kinds else 8192
        recorder = Recorder(programs, cluster, history,
                            ["--rate", arguments.rate, "--seed", seed, "--deadline-ms", 1500, "--keys", rng.choice([30, 300]),
                             "--hot-keys", 8, "--value-bytes", value_bytes, "--reads", 250])
        try:
            poll("the first acknowledged writes", 30, recorder.started_well)
            make_trouble(world, arguments, kinds, log)
            healed = time.monotonic()
            cluster.wait_serving()
            recovered = time.monotonic() - healed
            cluster.check_alive()
            summary = recorder.finish()
        except BaseException:
            print(f"seed {seed}: {'; '.join(log)}", flush=True)
            recorder.abandon()
            raise
        finally:
            network.heal_all()
        state = cluster.compare_states()
        verdict = programs.check_history(history, also_keys=True)
        for m in cluster.members:
            m.kill()
    return {"seed": seed, "log": log, "summary": summary, "state": state, "verdict": verdict, "recovered_s": recovered,
            "took_s": time.monotonic() - began}


def campaign(programs, arguments, folder):
    counts, totals, slowest = {}, {"ok": 0, "writes_ok": 0, "failed": 0, "unknown": 0, "unknown_done": 0}, []
    network, disks = None, {}
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    try:
        network = Network(3)
        for number in (1, 2, 3):
            disks[number] = Disk(os.path.join(folder, f"disk{number}.img"), os.path.join(folder, f"disk{number}"), 400)
        for done in range(arguments.rounds):
            one = one_history(programs, arguments, arguments.seed + done, network, disks, folder, counts)
            for name in totals:
                totals[name] += one["summary"][name]
            slowest.append(one["recovered_s"])
            print(f"history {done + 1}/{arguments.rounds} seed {one['seed']}: {'; '.join(one['log'])} | {one['verdict']}; "
                  f"{one['summary']['ok']} ok, {one['summary']['unknown']} unknown; all serving {one['recovered_s']:.2f} s after the "
                  f"last fault; {one['took_s']:.1f} s", flush=True)
    finally:
        for disk in disks.values():
            disk.unmount()
        if network:
            network.close()
    slowest.sort()
    print(json.dumps({"histories": arguments.rounds, "faults": counts, "operations": totals,
                      "recovery_s": {"median": round(slowest[len(slowest) // 2], 2), "max": round(slowest[-1], 2)}}))
    shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = arguments_for(__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="histories")
    parser.add_argument("--seconds", type=float, default=4, help="of faults in each")
    parser.add_argument("--rate", type=int, default=400, help="operations a second")
    parser.add_argument("--heartbeat-ms", type=int, default=100, help="the election timeout is ten times that")
    parser.add_argument("--faults", default=",".join(KINDS), help="draw from these only")
    arguments = parser.parse_args()

    def body():
        enter_private_network()
        programs = Programs(arguments)
        print(f"seed {seed_of(arguments)}; server {programs.server}", flush=True)
        campaign(programs, arguments, folder_of(arguments, "mixed"))

    run_main("mixed", body)


main()
