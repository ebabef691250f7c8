#!/usr/bin/env python3
"""Prints the bill of materials of the shipped program: CycloneDX 1.5 as JSON, from Cargo.lock and nothing else.

Run in the workspace. The same lock gives the same bytes.
"""

import json
import os
import subprocess
import sys


def main():
    tree = [os.environ.get("CARGO", "cargo"), "tree", "--locked", "-p", "magistrate-server", "--edges", "normal,build",
            "--prefix", "none", "--format", "{p}|{l}", "--target", "x86_64-unknown-linux-gnu"]
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
            components[purl] = component(name, version, purl, licence.strip())
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


def component(name, version, purl, licence):
    described = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if licence:
        described["licenses"] = [{"expression": licence.replace("/", " OR ")}]
    return described


if __name__ == "__main__":
    main()
