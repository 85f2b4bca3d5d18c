#!/usr/bin/env python3
"""Writes the parts list of the program (CycloneDX 1.5, JSON) to stdout: sbom.py TARGET.

Every crate that is compiled for TARGET, with licence, source and the checksum of Cargo.lock; tools of the build are
marked as excluded, crates of the tests are left out. The same commit gives the same bytes.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
import tomllib
import uuid


def metadata(target):
    command = ["cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={target}"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def checksums():
    with open("Cargo.lock", "rb") as file:
        packages = tomllib.load(file)["package"]
    return {(one["name"], one["version"]): one.get("checksum") for one in packages}


def reached(nodes, root):
    """The ids that the program is made of, and those that only building it needs."""
    found = {root: False}
    open_ids = [(root, False)]
    while open_ids:
        name, build = open_ids.pop()
        for dep in nodes[name]["deps"]:
            kinds = {kind["kind"] for kind in dep["dep_kinds"]}
            if not kinds & {None, "build"}:
                continue
            only_build = build or None not in kinds
            if dep["pkg"] not in found or (found[dep["pkg"]] and not only_build):
                found[dep["pkg"]] = only_build
                open_ids.append((dep["pkg"], only_build))
    return found


def component(package, only_build, sums):
    name, version = package["name"], package["version"]
    part = {
        "type": "library",
        "bom-ref": f"pkg:cargo/{name}@{version}",
        "name": name,
        "version": version,
        "scope": "excluded" if only_build else "required",
        "purl": f"pkg:cargo/{name}@{version}",
    }
    if package.get("license"):
        # Cargo still takes the old `A/B`, which is no SPDX expression.
        part["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if sums.get((name, version)):
        part["hashes"] = [{"alg": "SHA-256", "content": sums[(name, version)]}]
    if package.get("repository"):
        part["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return part


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: sbom.py TARGET")
    target = sys.argv[1]
    found = metadata(target)
    packages = {one["id"]: one for one in found["packages"]}
    nodes = {one["id"]: one for one in found["resolve"]["nodes"]}
    root = found["resolve"]["root"]
    parts, sums = reached(nodes, root), checksums()
    ref = lambda name: f"pkg:cargo/{packages[name]['name']}@{packages[name]['version']}"
    ids = sorted(parts, key=ref)
    links = [
        {"ref": ref(name), "dependsOn": sorted({ref(dep["pkg"]) for dep in nodes[name]["deps"] if dep["pkg"] in parts})}
        for name in ids
    ]
    program = component(packages[root], False, sums)
    program.update(type="application", properties=[{"name": "portwright:target", "value": target}])
    components = [component(packages[name], parts[name], sums) for name in ids if name != root]
    digest = hashlib.sha256(json.dumps([program, components, links], sort_keys=True).encode()).hexdigest()
    moment = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", "0")))
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "version": 1,
        "metadata": {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", moment), "component": program},
        "components": components,
        "dependencies": links,
    }
    json.dump(document, sys.stdout, indent=1, ensure_ascii=False)
    print()


main()
