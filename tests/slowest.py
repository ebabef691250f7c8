"""Prints the N slowest tests of a JUnit report: FILE N."""

import sys
import xml.etree.ElementTree as tree

cases = tree.parse(sys.argv[1]).getroot().iter("testcase")
timed = sorted(((float(case.get("time", 0)), case.get("classname"), case.get("name")) for case in cases), reverse=True)
for seconds, binary, name in timed[: int(sys.argv[2])]:
    print(f"{seconds:8.2f} s  {binary} {name}")
