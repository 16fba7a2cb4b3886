"""The Debian packages: made twice the same, installed, upgraded, removed and purged in a Debian that had nothing of ours.

The service's unit is checked by systemd itself; that it runs under systemd is not: there is none here."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SLIPWAY_BUILD", ROOT / "build" / "release"))
UNIT = ROOT / "deploy" / "systemd" / "slipway.service"


def run(*command, code=0, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600, **options)
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed: run tools/setup test")


# ---- the unit


@pytest.mark.parametrize("drop_ins", [[], ["torch.conf"]])
def test_the_service_is_well_shut_in(tmp_path, drop_ins):
    need("systemd-analyze")
    unit = tmp_path / "slipway.service"
    text = UNIT.read_text() + "".join((UNIT.parent / name).read_text() for name in drop_ins)
    unit.write_text(text.replace("/usr/bin/slipway", str(BUILD / "slipway")))
    run("systemd-analyze", "verify", "--man=no", unit)
    report = run("systemd-analyze", "security", "--offline=true", "--threshold=20", unit)
    exposure = float(re.search(r"exposure level for slipway\.service: ([0-9.]+)", report)[1])
    assert exposure < 2.0


def test_the_service_ends_later_than_the_drain():
    grace = next(line for line in (ROOT / "docs" / "options.md").read_text().splitlines() if "`drain.grace`" in line)
    seconds = int(re.search(r"\| `(\d+)s` \|", grace)[1])
    assert int(re.search(r"TimeoutStopSec=(\d+)", UNIT.read_text())[1]) >= 2 * seconds


# ---- the packages


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    need("dpkg-deb", "dpkg-shlibdeps")
    output = tmp_path_factory.mktemp("packages") / "first"
    run(ROOT / "tools" / "package", "--build", BUILD, output, cwd=ROOT)
    return output


def sums(directory):
    return (directory / "SHA256SUMS").read_text()


def test_made_again_they_are_the_same(packages, tmp_path):
    run(ROOT / "tools" / "package", "--build", BUILD, tmp_path / "again", cwd=ROOT)
    assert sums(tmp_path / "again") == sums(packages)
    run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=packages)
    assert len(sums(packages).splitlines()) >= 2


def test_the_archive_runs_where_it_is_unpacked(packages, tmp_path):
    [archive] = packages.glob("*.tar.xz")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path)
    [directory] = tmp_path.iterdir()
    report = json.loads(run(directory / "bin" / "slipway", "version", "--json"))
    assert "onnx" in report["engines"] and archive.name.startswith(f"slipway-{report['version']}-linux-")
    assert "[2" in run(directory / "bin" / "slipway", "infer", "--local", ROOT / "models" / "doubleit_onnx", "--input=x=1,2,3,4,5",
                       "--output=array")


def sources():
    """Where this machine has Debian's packages from."""
    listed = [pathlib.Path("/etc/apt/sources.list"), *sorted(pathlib.Path("/etc/apt/sources.list.d").glob("*"))]
    return [path for path in listed if path.is_file() and path.suffix in (".list", ".sources")]


def release():
    return next(line.split("=")[1].strip() for line in open("/etc/os-release") if line.startswith("VERSION_CODENAME="))


class Root:
    """A Debian in a directory."""

    def __init__(self, directory, packages):
        self.directory = directory
        run("mmdebstrap", "--variant=apt", "--mode=root", "--include=ca-certificates", release(), directory, *sources())
        # How this machine gets there.
        for path in pathlib.Path("/etc/apt/apt.conf.d").iterdir():
            if "Acquire" in path.read_text(errors="replace"):
                shutil.copy(path, directory / "etc/apt/apt.conf.d")
        for name in ("resolv.conf", "hosts"):
            shutil.copy(f"/etc/{name}", directory / "etc" / name)
        (directory / "packages").mkdir()
        for package in packages.glob("*.deb"):
            shutil.copy(package, directory / "packages")
        # Nothing is started at its installation, as in an image that is being made.
        policy = directory / "usr" / "sbin" / "policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        self.run("apt-get", "update")

    def run(self, *command, code=0):
        """With a /proc, which goes with the command."""
        enter = 'mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" && exec chroot "$0" "$@"'
        return run("unshare", "--mount", "sh", "-c", enter, self.directory, "env", "DEBIAN_FRONTEND=noninteractive",
                   "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *command, code=code)


def with_version(package, version, directory):
    """The same package under a later version."""
    tree = directory / "tree"
    run("dpkg-deb", "-R", package, tree)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"^Version: .*$", f"Version: {version}", control.read_text(), flags=re.MULTILINE))
    (tree / "etc" / "slipway" / "slipway.yaml").write_text("# settings of a later version\n")
    made = directory / "packages" / f"slipway_{version}.deb"
    run("dpkg-deb", "--root-owner-group", "-Zgzip", "--build", tree, made)
    shutil.rmtree(tree)
    return f"/packages/{made.name}"


def test_install_upgrade_remove_purge(packages, tmp_path):
    need("mmdebstrap", "chroot", "unshare")
    if os.geteuid() != 0:
        pytest.skip("a root directory of one's own needs root")
    root = Root(tmp_path / "debian", packages)
    [package] = [one.name for one in packages.glob("slipway_*.deb")]
    try:
        said = root.run("apt-get", "install", "-y", "--no-install-recommends", f"/packages/{package}")
        assert "put models into /var/lib/slipway/models" in said
        assert not shutil.which("gcc", path=str(root.directory / "usr/bin"))

        report = json.loads(root.run("slipway", "version", "--json"))
        assert report["engines"] == ["onnx"]
        shutil.copytree(ROOT / "models" / "doubleit_onnx", root.directory / "var/lib/slipway/models/doubleit_onnx")
        assert "slipway" in root.run("stat", "-c", "%U %a", "/var/lib/slipway")
        # As the service does: its user, its settings.
        serve = ("slipway serve /var/lib/slipway/models --config=/etc/slipway/slipway.yaml --http-port=0 "
                 "--http-port-file=/var/lib/slipway/port & server=$!; "
                 "for i in $(seq 200); do [ -e /var/lib/slipway/port ] && break; sleep 0.1; done; "
                 "slipway infer doubleit_onnx --url http://127.0.0.1:$(cat /var/lib/slipway/port) --input=x=1,2,3,4,5 --output=array; "
                 "kill $server; wait $server; echo ended $?")
        said = root.run("setpriv", "--reuid=slipway", "--regid=slipway", "--clear-groups", "timeout", "120", "sh", "-c", serve)
        assert "ended 0" in said and "10" in said, said
        assert (root.directory / "var/lib/slipway/slipway.db").exists()

        settings = root.directory / "etc/slipway/slipway.yaml"
        settings.write_text(settings.read_text() + "server:\n  name: mine\n")
        later = with_version(packages / package, "99.0.0", root.directory)
        root.run("apt-get", "install", "-y", "-o", "Dpkg::Options::=--force-confold", later)
        assert "99.0.0" in root.run("dpkg-query", "-W", "slipway")
        assert "name: mine" in settings.read_text()

        root.run("apt-get", "remove", "-y", "slipway")
        assert not (root.directory / "usr/bin/slipway").exists()
        assert settings.exists() and (root.directory / "var/lib/slipway/slipway.db").exists()
        said = root.run("apt-get", "purge", "-y", "slipway")
        assert "/var/lib/slipway is kept" in said
        assert not settings.exists() and (root.directory / "var/lib/slipway/slipway.db").exists()
        left = root.run("sh", "-c", "find /usr /etc -path '*slipway*'").split()
        assert left == [], left
    finally:
        shutil.rmtree(root.directory, ignore_errors=True)
