"""Prints the N slowest tests of a JUnit report, or of what `cargo test -- --report-time` printed: FILE N."""

import re
import sys
import xml.etree.ElementTree as tree


def timed(path):
    if path.endswith(".xml"):
        for case in tree.parse(path).getroot().iter("testcase"):
            yield float(case.get("time", 0)), f"{case.get('classname')} {case.get('name')}"
        return
    with open(path, encoding="utf-8", errors="replace") as report:
        for line in report:
            if found := re.match(r"test (.+) \.\.\. \w+ <([0-9.]+)s>", line):
                yield float(found[2]), found[1]


for seconds, name in sorted(timed(sys.argv[1]), reverse=True)[: int(sys.argv[2])]:
    print(f"{seconds:8.2f} s  {name}")
