"""Rounds in which every member of five is replaced under load: a new one on an empty disk, caught up, voting, then an old one removed.

One cluster lives through all rounds, so a campaign of 100 rounds makes 500 replacements and the numbers of 505 members. Half of the new members are
learners until the operator promotes them, half vote by themselves. The order is drawn; the leader is among those replaced in every round.
Load goes to every address all the time, also to those nobody listens at. No acknowledged write may be lost, the history must be linearizable, the
members equal at the end, and clients may see nothing but errors after which a well-behaved client tries again. Told for each round: the longest
time without an acknowledged write anywhere.
"""
import json
import os
import random
import shutil
import statistics
import time

from cluster import Cluster, Failure, Member, Programs, Recorder, arguments_for, folder_of, poll, run_main, seed_of
from membership import Replacer

# What etcd's clients try again elsewhere: the code Unavailable, and a connection that closed. Silence is not in it: a server answers
# within its own 7 seconds, if only to say that it does not know.
RETRYABLE = ("Unavailable: ", "connection lost: ", "not sent")
DEADLINE_MS = 10000


def replace_all(replacer, rng):
    """Seconds until the new one votes, for each of the members there were."""
    c = replacer.cluster
    old_members = rng.sample(c.members, len(c.members))
    leaders, seconds = 0, []
    for old in old_members:
        leader = c.leader()
        leaders += old is leader
        began = time.monotonic()
        replacer.add(promote_by_hand=rng.random() < 0.5)
        seconds.append(time.monotonic() - began)
        replacer.remove(old)
    replacer.wait_gone()
    return seconds, leaders


def longest(recorder, first_line, what):
    """In ms, of what ended since that status line; a line covers one second."""
    return max((line[what] for _, line in recorder.lines[first_line:] if what in line), default=0.0)


def judge_errors(errors):
    wrong = {text: count for text, count in errors.items() if not text.startswith(RETRYABLE)}
    if wrong:
        raise Failure(f"clients were told what is no reason to try again: {json.dumps(wrong)}")


def check_logs(cluster):
    for m in cluster.members:
        with open(m.log_path, errors="replace") as f:
            for line in f:
                if "begins anew" in line or "is not what the majority has" in line:
                    raise Failure(f"{m.name}: {line}")


def campaign(programs, arguments, rng, folder):
    history = os.path.join(folder, "history.jsonl")
    totals = {"rounds": 0, "replacements": 0, "of the leader": 0}
    gaps, votes = [], []
    slots = 2 * arguments.members
    with Cluster(programs.server, folder, members=arguments.members, snapshot_count=arguments.snapshot_count) as cluster:
        cluster.start()
        cluster.wait_serving()
        replacer = Replacer(cluster, rng, slots)
        everywhere = [Member(cluster, n) for n in range(1, slots + 1)]
        recorder = Recorder(programs, cluster, history, ["--rate", arguments.rate, "--seed", arguments.seed, "--deadline-ms", DEADLINE_MS,
                                                         "--seconds", 86400, "--read-seconds", 600, "--members-change"], everywhere)
        with recorder:
            poll("the first acknowledged writes", 30, recorder.started_well)
            for done in range(arguments.rounds):
                first_line, began = len(recorder.lines), time.monotonic()
                seconds, leaders = replace_all(replacer, rng)
                told = len(recorder.lines)
                poll("the second in which the round ended is told", 10, lambda n=told: len(recorder.lines) > n)
                gap, stall = longest(recorder, first_line, "gap_ms"), longest(recorder, first_line, "stall_ms")
                unknown = sum(line.get("unknown", 0) for _, line in recorder.lines[first_line:])
                gaps.append(gap)
                votes += seconds
                totals["rounds"] += 1
                totals["replacements"] += len(seconds)
                totals["of the leader"] += leaders
                print(f"round {done + 1}/{arguments.rounds}: {len(seconds)} replaced ({leaders} led) in {time.monotonic() - began:.1f} s, "
                      f"votes after {statistics.median(seconds):.2f} s (median), {max(seconds):.2f} s (longest); longest gap in writes {gap:.0f} ms (the load itself was away for {stall:.0f} ms at most); "
                      f"{unknown} without a known outcome; {recorder.acknowledged()} writes acknowledged so far", flush=True)
            summary = recorder.finish(1500)
        cluster.wait_serving()
        state = cluster.compare_states()
        check_logs(cluster)
    verdict = programs.check_history(history)
    judge_errors(summary["errors"])
    if summary["unknown"] * 1000 > summary["started"]:
        raise Failure(f"{summary['unknown']} of {summary['started']} operations ended without a known outcome")
    totals.update(gap_ms={"median": statistics.median(gaps), "longest": max(gaps)},
                  votes_s={"median": round(statistics.median(votes), 2), "longest": round(max(votes), 2)})
    print(f"{verdict}; {json.dumps(summary)}; equal at {state}")
    print(json.dumps(totals))
    shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = arguments_for(__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--rate", type=int, default=300, help="operations a second; four of five change something")
    parser.add_argument("--snapshot-count", type=int, default=20000)
    arguments = parser.parse_args()

    def body():
        programs = Programs(arguments)
        seed = seed_of(arguments)
        print(f"seed {seed}; server {programs.server}", flush=True)
        campaign(programs, arguments, random.Random(seed), folder_of(arguments, "replace"))

    run_main("replace", body)


main()
