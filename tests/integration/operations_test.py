"""The commands of docs/operations.md, run as they stand: every block marked `sh`, in order, in one shell, against real members.

In a network of its own (needs the right to make one), so that the page can name ports.
"""
import os
import re
import shutil
import signal
import subprocess

from cluster import ROOT, Failure, Programs, Skip, arguments_for, folder_of, run_main

CAP_SECONDS = 120
# What must be seen, and in this order.
EXPECTED = [r"ok, revision", r"LEADER", r"point of no return: 2 of 3 voters", r"member \w+ added", r"m4 .*voter", r"removed, 3 members left",
            r"m2 leads now", r"hello", r"m3 .*voter", r"keys", r"the backup", r"LEADER"]


def blocks(page):
    found = re.findall(r"^```sh\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    if len(found) < 5:
        raise Failure(f"only {len(found)} blocks of commands in the page")
    return found


def private_network():
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode == 0:
        return ["unshare", "--net"]
    if subprocess.run(["unshare", "--user", "--map-root-user", "--net", "true"], capture_output=True).returncode == 0:
        return ["unshare", "--user", "--map-root-user", "--net"]
    raise Skip("no network namespace can be made here")


def main():
    arguments = arguments_for(__doc__).parse_args()

    def body():
        programs = Programs(arguments)
        place = private_network()
        folder = folder_of(arguments, "operations")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        with open(os.path.join(ROOT, "docs/operations.md")) as page:
            steps = blocks(page.read())
        script = os.path.join(folder, "commands.sh")
        with open(script, "w") as out:
            out.write("set -euo pipefail\nip link set lo up\n")
            for step in steps:
                out.write("set -x\n" + step + "{ set +x; } 2>/dev/null\n")
        env = dict(os.environ, PATH=os.path.dirname(programs.decreed) + ":" + os.environ["PATH"])
        for name in list(env):
            if name.startswith(("ETCD_", "DECREE_")):
                del env[name]
        log = os.path.join(folder, "output.txt")
        with open(log, "w") as out:
            # A group of its own: everything the page starts ends with it.
            shell = subprocess.Popen([*place, "bash", script], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out,
                                     stderr=subprocess.STDOUT, start_new_session=True)
            try:
                code = shell.wait(CAP_SECONDS)
            except subprocess.TimeoutExpired:
                code = "none (stuck)"
            finally:
                try:
                    os.killpg(shell.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                shell.wait()
        with open(log) as f:
            output = f.read()
        if code != 0:
            raise Failure(f"the page's commands ended with code {code}; the end of what they said:\n{output[-3000:]}")
        at = 0
        for pattern in EXPECTED:
            m = re.compile(pattern).search(output, at)
            if not m:
                raise Failure(f"not seen, or not in this place: {pattern}\n{output[-3000:]}")
            at = m.end()
        print(f"{len(steps)} blocks, {sum(s.count(chr(10)) for s in steps)} lines of commands did what the page says", flush=True)
        shutil.rmtree(folder, ignore_errors=True)

    run_main("operations", body)


main()
