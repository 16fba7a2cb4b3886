"""An image as `tools/image` leaves it, and a container of it, run by runc as a careful operator would: read-only root, a
user that is nobody, no capabilities, no new privileges, the seccomp filter that Docker and Podman have, a memory limit.

    image = Image(directory, place)
    with Container(image, ["serve", "/models"], models=MODELS) as container:
        container.port()
"""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import time
import uuid

USER = 65532
NOBODY = 165532
SECCOMP = pathlib.Path("/usr/share/containers/seccomp.json")
MEMORY_BYTES = 1 << 30


class Image:
    """Its configuration, and its file system unpacked at `place`/root."""

    def __init__(self, layout, place):
        self.layout = pathlib.Path(layout)
        self.place = pathlib.Path(place)
        self.root = self.place / "root"
        index = json.loads((self.layout / "index.json").read_text())
        [self.entry] = index["manifests"]
        self.manifest = json.loads(self.blob(self.entry))
        self.description = json.loads(self.blob(self.manifest["config"]))
        self.config = self.description["config"]
        self.unpack()

    def blob(self, descriptor):
        content = (self.layout / "blobs" / "sha256" / descriptor["digest"].split(":")[1]).read_bytes()
        assert "sha256:" + hashlib.sha256(content).hexdigest() == descriptor["digest"]
        assert len(content) == descriptor["size"]
        return content

    def unpack(self):
        self.members = {}
        for layer in self.manifest["layers"]:
            path = self.layout / "blobs" / "sha256" / layer["digest"].split(":")[1]
            with tarfile.open(path) as archive:
                for member in archive:
                    assert not os.path.basename(member.name).startswith(".wh."), "a layer deletes what another one has"
                    self.members["/" + member.name.strip("/.")] = member
                archive.extractall(self.root, numeric_owner=True)

    def size(self):
        """Of what is transferred."""
        return sum(part["size"] for part in [*self.manifest["layers"], self.manifest["config"], self.entry])


def seccomp():
    """The filter of Docker and Podman in the form that a runtime takes, without what only some capability opens."""
    read = json.loads(SECCOMP.read_text())
    machine = {"x86_64": ("amd64", "SCMP_ARCH_X86_64"), "aarch64": ("arm64", "SCMP_ARCH_AARCH64")}[os.uname().machine]
    rows = []
    for row in read["syscalls"]:
        includes, excludes = row.get("includes") or {}, row.get("excludes") or {}
        if includes.get("caps") or machine[0] in excludes.get("arches", ()):
            continue
        if includes.get("arches") and machine[0] not in includes["arches"]:
            continue
        made = {"names": row["names"], "action": row["action"]}
        if row.get("args"):
            made["args"] = row["args"]
        if row.get("errnoRet") is not None:
            made["errnoRet"] = row["errnoRet"]
        rows.append(made)
    return {"defaultAction": read["defaultAction"], "defaultErrnoRet": read.get("defaultErrnoRet", 1),
            "architectures": [machine[1]], "syscalls": rows}


def mount(source, destination, *options):
    return {"source": str(source), "destination": str(destination), "type": "bind", "options": ["rbind", *options]}


def memory_pages(*options):
    return {"type": "tmpfs", "source": "tmpfs", "options": ["nosuid", *options]}


def bundle(image, directory, arguments, environment=(), mounts=(), working_directory=None, user=USER, memory=MEMORY_BYTES,
           host_user=None):
    """Writes a runtime's config.json for the image into `directory`. With host_user the container's user is that one
    outside, and has no rights but its own."""
    config = image.config
    process = {
        "terminal": False,
        "user": {"uid": user, "gid": user},
        "args": [*(config.get("Entrypoint") or []), *arguments],
        "env": ["PATH=/usr/bin", *(config.get("Env") or []), *environment],
        "cwd": str(working_directory or config.get("WorkingDir") or "/"),
        "capabilities": {kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")},
        "noNewPrivileges": True,
    }
    specification = {
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": str(image.root), "readonly": True},
        "hostname": "slipway",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", **memory_pages("mode=755", "size=64k", "strictatime")},
            {"destination": "/dev/shm", **memory_pages("mode=1777", "size=16m", "noexec")},
            {"destination": "/tmp", **memory_pages("mode=1777", "size=64m")},
            mount("/sys", "/sys", "ro") if host_user is None else mount("/sys", "/sys"),
            *mounts,
        ],
        "linux": {
            # the host's network: a port is found through the port file
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")],
            "seccomp": seccomp(),
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }
    if host_user is not None:
        # what sets the container up is its root, who is nobody outside
        mapping = [{"containerID": 0, "hostID": NOBODY, "size": 1}, {"containerID": user, "hostID": host_user, "size": 1}]
        specification["linux"].update(uidMappings=mapping, gidMappings=mapping)
        specification["linux"]["namespaces"].append({"type": "user"})
    if memory:
        specification["linux"]["resources"] = {"memory": {"limit": memory}, "pids": {"limit": 512}}
        specification["linux"]["cgroupsPath"] = f"/slipway-{uuid.uuid4().hex}"
    pathlib.Path(directory, "config.json").write_text(json.dumps(specification))


class Container:
    """Runs until the block is left, then gets the image's stop signal and must end with `code`."""

    def __init__(self, image, arguments=None, models=None, data=None, mounts=(), environment=(), code=0, **options):
        self.image, self.code, self.options = image, code, options
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="container-", dir=image.place))
        self.data = pathlib.Path(data) if data else self.directory / "data"
        self.data.mkdir(exist_ok=True)
        os.chown(self.data, USER, USER)
        self.name = f"slipway-{uuid.uuid4().hex}"
        self.mounts = [mount(self.data, "/var/lib/slipway", "rw"), *mounts]
        if models:
            self.mounts.append(mount(models, "/models", "ro"))
        self.arguments = image.config["Cmd"] if arguments is None else arguments
        self.environment = ["SLIPWAY_HTTP_PORT=0", "SLIPWAY_HTTP_PORT_FILE=/var/lib/slipway/port", *environment]
        self.log = self.directory / "log"
        self.process = None

    def __enter__(self):
        bundle(self.image, self.directory, self.arguments, self.environment, self.mounts, **self.options)
        (self.data / "port").unlink(missing_ok=True)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(["runc", "run", "--bundle", str(self.directory), self.name],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def __exit__(self, kind, value, trace):
        self.kill("TERM")
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill("KILL")
            code = self.process.wait(60)
        subprocess.run(["runc", "delete", "--force", self.name], capture_output=True)
        said = self.log.read_text(errors="replace")
        shutil.rmtree(self.directory, ignore_errors=True)
        if kind is None:
            assert code == self.code, (code, said)

    def kill(self, signal_name):
        subprocess.run(["runc", "kill", self.name, signal_name], capture_output=True)

    def wait_until(self, condition, what, seconds=90):
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, (what, self.process.returncode, self.log.read_text(errors="replace"))
            assert time.monotonic() < end, (what, self.log.read_text(errors="replace"))
            time.sleep(0.02)

    def port(self):
        path = self.data / "port"
        self.wait_until(path.exists, "the port file")
        return int(path.read_text())

    def run(self, *arguments, code=0):
        """A command in the running container, as a health check is run: the output."""
        done = subprocess.run(["runc", "exec", "--cwd", "/", self.name, *arguments], capture_output=True, text=True, timeout=120)
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def status(self):
        """Of its first process, as the kernel tells it."""
        state = json.loads(subprocess.run(["runc", "state", self.name], capture_output=True, text=True, check=True).stdout)
        lines = pathlib.Path(f"/proc/{state['pid']}/status").read_text().splitlines()
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)
