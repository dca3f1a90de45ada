"""`decree explain` against real members: the story of a write has a proposer, a client, votes and a point of no return, in an order
that the protocol allows; what the history has lost is said to be lost.
"""
import json
import os
import shutil
import subprocess

from cluster import Cluster, Failure, Programs, arguments_for, folder_of, run_main

NEGATIVE = 1


def expect(condition, sentence):
    if not condition:
        raise Failure(sentence)


def event(story, member, part):
    for e in story["events"]:
        if e["member"] == member and part in e["what"]:
            return int(e.get("at_us", 0))
    raise Failure(f"no event \"{part}\" of {member} in {json.dumps(story['events'], indent=1)}")


def main():
    arguments = arguments_for(__doc__).parse_args()

    def body():
        programs = Programs(arguments)
        folder = folder_of(arguments, "explain")

        def decree(cluster, *words, codes=(0,), endpoints=None):
            done = subprocess.run([programs.decree, "--endpoints", endpoints or cluster.endpoints, *words], capture_output=True,
                                  text=True, timeout=30)
            if done.returncode not in codes:
                raise Failure(f"decree {' '.join(words)}: code {done.returncode}, not {codes}: {done.stdout}{done.stderr}")
            return done.stdout

        with Cluster(programs.server, folder, extra_flags=["--explain-slots", "256"]) as cluster:
            cluster.start()
            cluster.wait_serving()
            leader = cluster.leader()
            follower = next(m for m in cluster.members if m is not leader)
            decree(cluster, "put", "story", "told", endpoints=follower.client)
            story = json.loads(decree(cluster, "-w", "json", "explain", "key", "story", endpoints=leader.client))
            expect(story["proposer"] == leader.name, f"the leader {leader.name} is not the proposer: {story['proposer']}")
            expect(story["what"] == "put", f"it is a put, not a {story['what']}")
            expect(story.get("client", "").startswith("127.0.0.1:"), f"no client's address: {story.get('client')!r}")
            expect(len(story["answers"]) == len(cluster.members), "not every member was asked")
            expect(story.get("irrevocable_known"), "no point of no return")
            no_return, announced = int(story["irrevocable_us"]), int(story["announced_us"])
            expect(0 < no_return, f"irrevocable at {no_return} us, not after the proposal")
            slack = max(int(e.get("uncertainty_us", 0)) for e in story["events"])
            expect(no_return <= announced + slack, f"announced at {announced} us, before it was irrevocable at {no_return} us")
            expect(event(story, follower.name, "took the request") <= slack, "handed in after it was proposed")
            expect(event(story, follower.name, "answered the client") >= announced - slack, "answered before it was decided")
            for m in cluster.members:
                event(story, m.name, "durably")
                event(story, m.name, "applied")

            # The same by revision and by slot, as an operator reads it.
            by_revision = decree(cluster, "explain", "revision", story["revision"])
            by_slot = decree(cluster, "explain", "slot", story["slot"])
            expect(by_revision == by_slot, f"two stories of one slot:\n{by_revision}\n{by_slot}")
            expect("point of no return: 2 of 3 voters" in by_slot, by_slot)
            expect("not decided yet" in decree(cluster, "explain", "slot", "999999", codes=(NEGATIVE,)), "a slot of the future")
            expect("not made yet" in decree(cluster, "explain", "revision", "999999", codes=(NEGATIVE,)), "a revision of the future")

            # A member that does not answer is named, the others tell the story.
            third = next(m for m in cluster.members if m not in (leader, follower))
            third.kill()
            without = decree(cluster, "explain", "slot", story["slot"])
            expect(f"no answer from {third.client}" in without, without)
            expect("point of no return" in without, without)
            third.start()

            # More writes than the history has room for.
            decree(cluster, "bench", "put", "--keys", "100", "--clients", "8", "--duration", "1s")
            late = decree(cluster, "explain", "slot", story["slot"], codes=(0, NEGATIVE))
            expect("history has moved on" in late or "no member remembers it" in late, late)
            lost = decree(cluster, "explain", "revision", story["revision"], codes=(0, NEGATIVE))
            expect(f"slot {story['slot']}:" in lost or "was made in one of the slots" in lost, lost)
            print(f"irrevocable {no_return} us after the proposal, announced after {announced} us, clocks known to {slack} us",
                  flush=True)
        shutil.rmtree(folder, ignore_errors=True)

    run_main("explain", body)


main()
