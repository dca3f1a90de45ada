"""Loop-mounted ext4 file systems in a private mount namespace, with a plug that can be pulled.

EXT4_IOC_SHUTDOWN with NOLOGFLUSH makes the file system forget everything that no sync has covered: not the journal in
memory, not the dirty pages. It is what a power cut leaves, without cutting the power.
"""
import fcntl
import os
import subprocess
import sys

from cluster import Skip

EXT4_IOC_SHUTDOWN = 0x8004587D
NOLOGFLUSH = 2
IN_NAMESPACE = "DECREE_TEST_MOUNT_NAMESPACE"


def run(*command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise Skip(f"this machine cannot do it: {' '.join(command)}: {result.stderr.strip() or result.returncode}")
    return result.stdout.strip()


def enter_private_namespace():
    """Runs the whole script again with mounts that nobody else sees and that end with it."""
    if os.environ.get(IN_NAMESPACE):
        return
    if os.geteuid() != 0:
        raise Skip("loop mounts need root")
    run("unshare", "-m", "--propagation", "private", "true")
    os.environ[IN_NAMESPACE] = "1"
    os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, *sys.argv])


class Disk:
    def __init__(self, image, place, size_mib):
        self.image = image
        self.place = place
        os.makedirs(place, exist_ok=True)
        with open(image, "wb") as f:
            f.truncate(size_mib << 20)
        # No lazy initialisation: background writes would blur what a test measures.
        run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
        self.mounted = False
        self.mount()

    def mount(self):
        run("mount", "-o", "loop", self.image, self.place)
        self.mounted = True

    def open_plug(self):
        """Opened before, so that all plugs can be pulled within microseconds."""
        return os.open(self.place, os.O_RDONLY)

    @staticmethod
    def pull(plug):
        fcntl.ioctl(plug, EXT4_IOC_SHUTDOWN, NOLOGFLUSH.to_bytes(4, "little"))

    def unmount(self):
        if self.mounted:
            subprocess.run(["umount", self.place], capture_output=True)
            self.mounted = False

    def free_bytes(self):
        s = os.statvfs(self.place)
        return s.f_bavail * s.f_bsize
