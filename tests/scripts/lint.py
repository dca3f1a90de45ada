"""clang-format over every source file and clang-tidy over every .cc, through build/lint's compile commands.

A file that was clean is not looked at again until it, a project header it includes or .clang-tidy changes:
the stamp's name is a hash of all of them. `--all` ignores the stamps, `--fix-format` rewrites.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDERS = ["include", "src", "lab", "tests", "bench", "fuzz", "examples"]
STAMPS = os.path.join(ROOT, "build", "lint", "stamps")
INCLUDE = re.compile(rb'^\s*#\s*include\s+"([^"]+)"', re.M)


def sources():
    found = []
    for folder in FOLDERS:
        for place, _, names in os.walk(os.path.join(ROOT, folder)):
            found += [os.path.join(place, n) for n in names if n.endswith((".h", ".cc"))]
    return sorted(found)


def closure(path, seen):
    """The file and every project header it reaches, as bytes for the hash."""
    if path in seen:
        return
    with open(path, "rb") as f:
        text = f.read()
    seen[path] = text
    for name in INCLUDE.findall(text):
        name = name.decode()
        for base in (os.path.dirname(path), os.path.join(ROOT, "src"), os.path.join(ROOT, "include"), ROOT):
            candidate = os.path.normpath(os.path.join(base, name))
            if os.path.exists(candidate):
                closure(candidate, seen)
                break


def stamp_of(path):
    seen = {}
    closure(path, seen)
    digest = hashlib.sha256()
    with open(os.path.join(ROOT, ".clang-tidy"), "rb") as f:
        digest.update(f.read())
    for name in sorted(seen):
        digest.update(os.path.relpath(name, ROOT).encode() + b"\0" + seen[name])
    return os.path.join(STAMPS, digest.hexdigest())


def check_format(paths, fix):
    command = ["clang-format", "-i"] if fix else ["clang-format", "--dry-run", "-Werror"]
    bad = 0
    for i in range(0, len(paths), 20):
        result = subprocess.run(command + paths[i:i + 20], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        if result.returncode != 0:
            sys.stderr.write(result.stderr)
            bad += len({line.split(":")[0] for line in result.stderr.splitlines() if ": error:" in line})
    return bad


def tidy(path):
    result = subprocess.run(["clang-tidy", "-p", os.path.join(ROOT, "build", "lint"), "--quiet", path],
                            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return path, result.returncode, result.stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true", help="also files that were clean the last time")
    parser.add_argument("--fix-format", action="store_true")
    parser.add_argument("--format-only", action="store_true")
    parser.add_argument("paths", nargs="*", help="only these files")
    arguments = parser.parse_args()
    files = [os.path.abspath(p) for p in arguments.paths] or sources()
    bad_format = check_format(files, arguments.fix_format)
    print(f"clang-format: {len(files)} files, {bad_format} not in style")
    if arguments.format_only or arguments.fix_format:
        return 1 if bad_format else 0

    os.makedirs(STAMPS, exist_ok=True)
    with open(os.path.join(ROOT, "build", "lint", "compile_commands.json")) as f:
        known = {os.path.normpath(entry["file"]) for entry in json.load(f)}
    todo = []
    for path in files:
        if path in known and (arguments.all or not os.path.exists(stamp_of(path))):
            todo.append(path)
    print(f"clang-tidy: {len(todo)} of {len(known)} files to look at", flush=True)
    bad_tidy = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for path, status, output in pool.map(tidy, todo):
            if status == 0:
                open(stamp_of(path), "w").close()
            else:
                bad_tidy += 1
                lines = [l for l in output.splitlines() if "warnings generated" not in l]
                print("\n".join(lines), flush=True)
    print(f"clang-tidy: {bad_tidy} files with findings")
    print("lint clean" if not bad_format and not bad_tidy else "lint NOT clean")
    return 1 if bad_format or bad_tidy else 0


sys.exit(main())
