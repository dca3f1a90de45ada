"""Random histories, the same on Debian's etcd and on decreed: every answer equal, every HashKV the same number.

    ./dev chaos differential [--rounds N] [--steps N] [--seed FIRST]
"""
import os
import shutil
import sys

from cluster import ROOT, Failure, Programs, Skip, arguments_for, folder_of, run_main, seed_of, take_ports

sys.path.insert(0, os.path.join(ROOT, "tests", "compat"))


def one_round(compat, messages, programs, folder, port, seed, steps):
    """Both programs, empty, then one history. False: they differ, and it has been printed where."""
    servers = []
    try:
        for i, program in enumerate((programs.etcd, programs.decreed)):
            directory = os.path.join(folder, f"{seed}-{i}")
            os.makedirs(directory)
            servers.append(compat.Server(program, directory, messages, port + 2 * i))
        return compat.run(*servers, compat.Generator(seed), steps)
    except RuntimeError as error:
        raise Failure(str(error)) from None
    finally:
        for server in servers:
            server.stop()


def main():
    parser = arguments_for(__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="histories, seeds one after the other")
    parser.add_argument("--steps", type=int, default=1500, help="requests of one history")
    arguments = parser.parse_args()

    def body():
        try:
            import kv_differential as compat
        except ImportError as error:
            raise Skip(f"python3-grpcio and python3-protobuf are needed: {error}") from None
        programs = Programs(arguments)
        for path in (programs.etcd, shutil.which("protoc") or "protoc"):
            if not os.path.exists(path):
                raise Skip(f"{path} is not there")
        first = seed_of(arguments)
        folder = folder_of(arguments, "differential")
        generated = os.path.join(folder, "python")
        os.makedirs(generated)
        messages = compat.load_messages(generated)
        port = take_ports()
        for seed in range(first, first + arguments.rounds):
            print(f"again: tests/integration/differential_test.py --seed {seed} --rounds 1 --steps {arguments.steps}", flush=True)
            if not one_round(compat, messages, programs, folder, port, seed, arguments.steps):
                raise Failure(f"seed {seed}: etcd and decreed differ; their logs are in {folder}")
        shutil.rmtree(folder)

    run_main("differential", body)


main()
