#!/usr/bin/env python3
"""Prints the bill of materials of the shipped program: CycloneDX 1.5 as JSON, from Cargo.lock and nothing else.

Run in the workspace: sbom.py [TARGET]. The same lock gives the same bytes.
"""

import json
import os
import re
import subprocess
import sys

LOCKED = re.compile(r'^name = "(.+)"\nversion = "(.+)"\nsource = ".+"\nchecksum = "(.+)"$', re.MULTILINE)


def main():
    target = sys.argv[1] if len(sys.argv) > 1 else "x86_64-unknown-linux-gnu"
    with open("Cargo.lock", encoding="utf-8") as lock:
        digests = {(name, version): digest for name, version, digest in LOCKED.findall(lock.read())}
    tree = [os.environ.get("CARGO", "cargo"), "tree", "--locked", "-p", "magistrate-server", "--edges", "normal,build",
            "--prefix", "none", "--format", "{p}|{l}", "--target", target]
    lines = subprocess.run(tree, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    ours, components = {}, {}
    for line in lines:
        package, _, licence = line.removesuffix(" (*)").partition("|")
        if not package:
            continue
        name, version = package.split()[:2]
        version = version.removeprefix("v")
        if name.startswith("magistrate-"):
            ours[name] = version
        else:
            purl = f"pkg:cargo/{name}@{version}"
            components[purl] = component(name, version, purl, licence.strip(), digests[name, version])
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "name": "magistrate", "version": ours["magistrate-server"],
                          "licenses": [{"expression": "Apache-2.0"}]}
        },
        "components": [components[purl] for purl in sorted(components)],
    }
    json.dump(bill, sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")


def component(name, version, purl, licence, digest):
    described = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
                 "hashes": [{"alg": "SHA-256", "content": digest}]}
    if licence:
        described["licenses"] = [{"expression": licence.replace("/", " OR ")}]
    return described


if __name__ == "__main__":
    main()
