#!/usr/bin/env python3
"""What an image is made of, as SPDX 2.3 in JSON: packages by dpkg's own data, the program, ONNX Runtime, each with digests.

Usage: sbom.py DOCUMENT        checks one: says what is wrong and exits with 1, or how many packages it names

tools/images/root makes them: packages_of(files) and document(packages, root, build, when). Nothing in it depends on when
or where it was made.
"""
import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

LICENSE = "Apache-2.0"
FIELDS = ("Package", "Version", "Architecture", "Maintainer", "Source", "Homepage")


class Package:
    """One of Debian's, and those of its files that the image has."""

    def __init__(self, qualified, files):
        self.files = sorted(files)
        self.status = output_of("dpkg-query", "--status", qualified)
        read = dict(re.findall(r"^([A-Z][\w-]*): (.*)$", self.status, flags=re.MULTILINE))
        self.name, self.version, self.architecture, self.maintainer, self.source, self.homepage = (
            read.get(field, "") for field in FIELDS)


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}).stdout


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def owner(path):
    """The package of a file; dpkg knows some by their name before /lib became /usr/lib, and none that a script made."""
    short = re.sub(r"^/usr/(lib\w*|bin|sbin)/", r"/\1/", path)
    for name in (path, short):
        found = subprocess.run(["dpkg-query", "--search", name], capture_output=True, text=True)
        if found.returncode == 0:
            return found.stdout.splitlines()[0].rsplit(": ", 1)[0].split(",")[0]
    if os.path.basename(path) == "ca-certificates.crt":
        return "ca-certificates"
    raise SystemExit(f"sbom: no package has '{path}'")


def packages_of(files):
    """Debian's packages of these files, by name; and what is linked in statically."""
    by_package = {}
    for path in files:
        by_package.setdefault(owner(path), []).append(path)
    if os.path.exists("/usr/share/llhttp/llhttp.c"):
        by_package.setdefault(owner("/usr/share/llhttp/llhttp.c"), [])
    return sorted((Package(name, files) for name, files in by_package.items()), key=lambda package: package.name)


def identifier(*parts):
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", "-".join(parts))


def distribution():
    lines = pathlib.Path("/etc/os-release").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def debian_entry(package, system):
    system_name = distribution()
    locator = (f"pkg:deb/{system_name['ID']}/{package.name}@{package.version.replace('+', '%2B').replace(':', '%3A')}"
               f"?arch={package.architecture}&distro={system_name['ID']}-{system_name.get('VERSION_ID', '').strip(chr(34))}")
    entry = {
        "SPDXID": identifier("deb", package.name),
        "name": package.name,
        "versionInfo": package.version,
        "supplier": f"Person: {package.maintainer}",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "comment": f"copyright and licences: /usr/share/doc/{package.name}/copyright",
        "primaryPackagePurpose": "LIBRARY",
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}],
    }
    if package.source:
        entry["sourceInfo"] = f"Debian source package {package.source}"
    if package.homepage:
        entry["homepage"] = package.homepage
    return entry


def file_entry(path, system):
    place = "/" + str(path.relative_to(system))
    content = path.read_bytes()
    return {
        "SPDXID": identifier("file", place[1:]),
        "fileName": "." + place,
        "checksums": [{"algorithm": "SHA256", "checksumValue": hashlib.sha256(content).hexdigest()},
                      {"algorithm": "SHA1", "checksumValue": hashlib.sha1(content).hexdigest()}],
        "licenseConcluded": "NOASSERTION",
        "copyrightText": "NOASSERTION",
    }


def own_entry(name, version, purl, path, license_name):
    return {
        "SPDXID": identifier("package", name),
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "checksums": [{"algorithm": "SHA256", "checksumValue": digest(path)}],
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": license_name,
        "copyrightText": "NOASSERTION",
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}],
    }


def own_packages(system):
    """The program, and ONNX Runtime where it is no package of Debian's."""
    program = system / "usr/bin/slipway"
    told = json.loads(output_of(str(program), "version", "--json"))
    entries = [own_entry("slipway", told["version"], f"pkg:generic/slipway@{told['version']}?vcs_url={told['commit']}", program,
                         LICENSE)]
    runtime = system / "usr/lib/slipway/libonnxruntime.so.1"
    if runtime.exists():
        # "onnxruntime-node@1.27.0 ...", as tools/setup leaves it
        stamp = pathlib.Path(__file__).resolve().parents[2].joinpath(".deps/onnxruntime/version").read_text()
        version = re.search(r"@([0-9.]+)", stamp)[1]
        entries.append(own_entry("onnxruntime", version, f"pkg:generic/onnxruntime@{version}", runtime, "MIT"))
    return entries


def relationship(one, kind, other):
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def relationships(packages, own, files):
    program = own[0]["SPDXID"]
    rows = [relationship("SPDXRef-DOCUMENT", "DESCRIBES", program)]
    rows += [relationship(program, "DEPENDS_ON", entry["SPDXID"]) for entry in own[1:]]
    known = {entry["fileName"][1:]: entry["SPDXID"] for entry in files}
    for package in packages:
        name = identifier("deb", package.name)
        rows.append(relationship(program, "DEPENDS_ON" if package.files else "STATIC_LINK", name))
        rows += [relationship(name, "CONTAINS", known.pop(path)) for path in package.files]
    runtime = known.pop("/usr/lib/slipway/libonnxruntime.so.1", None)
    if runtime:
        rows.append(relationship(own[1]["SPDXID"], "CONTAINS", runtime))
    return rows + [relationship(program, "CONTAINS", name) for name in known.values()]


def programs_in(root):
    """Files that can be run or loaded."""
    return [path for path in sorted(root.rglob("*"))
            if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o111]


def document(packages, system, build, when):
    """The text of the document. `system` is the image's root, `when` seconds since 1970."""
    own = own_packages(system)
    paths = {system / path[1:] for package in packages for path in package.files}
    # and ours: the program, engines, stand-ins
    paths |= set(programs_in(system))
    files = [file_entry(path, system) for path in sorted(paths)]
    body = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"slipway-{own[0]['versionInfo']}",
        "creationInfo": {"created": datetime.datetime.fromtimestamp(when, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
                         "creators": ["Organization: Slipway", "Tool: slipway-sbom"]},
        "packages": own + [debian_entry(package, system) for package in packages],
        "files": files,
        "relationships": relationships(packages, own, files),
    }
    # of its own content: the same document has the same name
    name = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    body["documentNamespace"] = f"https://slipway.invalid/spdx/{name}"
    return json.dumps(body, indent=1) + "\n"


# ---- checking one

DOCUMENT_KEYS = ("spdxVersion", "dataLicense", "SPDXID", "name", "documentNamespace", "creationInfo", "packages", "relationships")
PACKAGE_KEYS = ("SPDXID", "name", "versionInfo", "downloadLocation")


def problems(text, root=None):
    """What is wrong with a document; with `root`, also with the files of the tree that it describes."""
    try:
        body = json.loads(text)
    except ValueError as error:
        return [f"no JSON: {error}"]
    found = [f"the document has no '{key}'" for key in DOCUMENT_KEYS if key not in body]
    if found:
        return found
    elements = [body["SPDXID"]]
    for entry in body["packages"]:
        found += [f"package '{entry.get('name')}' has no '{key}'" for key in PACKAGE_KEYS if not entry.get(key)]
        elements.append(entry.get("SPDXID"))
    elements += [entry.get("SPDXID") for entry in body.get("files", [])]
    found += [f"two elements are '{name}'" for name in sorted({name for name in elements if elements.count(name) > 1})]
    found += [f"'{name}' is no identifier" for name in elements if not re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", name or "")]
    for row in body["relationships"]:
        found += [f"a relationship names '{row[key]}', which is not there"
                  for key in ("spdxElementId", "relatedSpdxElement") if row[key] not in elements]
    return found + (wrong_files(body, pathlib.Path(root)) if root else [])


def wrong_files(body, root):
    """Libraries that the document does not know, or knows otherwise."""
    found, named = [], {}
    for entry in body.get("files", []):
        named[entry["fileName"][1:]] = next(sum_["checksumValue"] for sum_ in entry["checksums"] if sum_["algorithm"] == "SHA256")
    for place, wanted in named.items():
        path = root / place[1:]
        if not path.is_file():
            found.append(f"'{place}' is not in the image")
        elif digest(path) != wanted:
            found.append(f"'{place}' is not the file that the document names")
    places = ["/" + str(path.relative_to(root)) for path in programs_in(root)]
    return found + [f"'{place}' is not in the document" for place in places if place not in named]


def main():
    if len(sys.argv) != 2:
        raise SystemExit("usage: sbom.py DOCUMENT")
    text = pathlib.Path(sys.argv[1]).read_text()
    found = problems(text)
    for line in found:
        print(f"sbom: {line}", file=sys.stderr)
    if found:
        raise SystemExit(1)
    print(f"{len(json.loads(text)['packages'])} packages")


if __name__ == "__main__":
    main()
