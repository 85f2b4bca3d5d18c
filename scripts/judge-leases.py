#!/usr/bin/env python3
"""Judges the history of a pool of ports, from what each process wrote down and nothing else.

    scripts/judge-leases.py FOLDER RANGE

FOLDER has a file PID.log for each process, with a line `has PORT... NANOSECONDS` when it has taken ports and a line
`had PORT... NANOSECONDS` before it gives them back; `killed.log` with `PID NANOSECONDS` for each that was killed; and
`pool.json`, in which nothing may be left. Printed is what was judged; the exit code is 1 when a port was had by two at
once, was outside of the range, was not in a row with the others, or was lost.
"""

import json
import pathlib
import sys


def main(folder, first, last):
    killed = {}
    for line in (folder / "killed.log").read_text().splitlines():
        pid, at = line.split()
        killed[pid] = int(at)
    faults, spans, taken, cut = [], {}, 0, 0

    def had(pid, ports, start, end):
        for port in ports:
            spans.setdefault(port, []).append((start, end, pid))

    for log in sorted(folder.glob("*.log")):
        pid, held = log.stem, None
        if pid == "killed":
            continue
        for line in log.read_text().splitlines():
            what, *ports, at = line.split()
            ports, at = [int(port) for port in ports], int(at)
            if what == "has":
                taken += 1
                if held is not None:
                    faults.append(f"{pid} took ports while it had others")
                if ports != list(range(ports[0], ports[0] + len(ports))) or ports[0] < first or ports[-1] > last:
                    faults.append(f"{pid} got {ports}")
                held = (ports, at)
            elif held is None or held[0] != ports:
                faults.append(f"{pid} gave back {ports} and had {held}")
            else:
                had(pid, ports, held[1], at)
                held = None
        if held is not None and pid in killed:
            had(pid, held[0], held[1], killed[pid])
            cut += 1
        elif held is not None:
            faults.append(f"{pid} ended without giving back {held[0]}")

    for port, of_port in sorted(spans.items()):
        of_port.sort()
        for (_, end, one), (start, _, other) in zip(of_port, of_port[1:]):
            if start < end:
                faults.append(f"port {port} was had by {one} and {other} at once, for {end - start} ns")
    left = json.loads((folder / "pool.json").read_text())["leases"]
    if left:
        faults.append(f"{len(left)} leases are left")
    print(f"{taken} times ports were taken, {len(spans)} ports in all; {len(killed)} processes were killed, {cut} of them "
          f"with ports; {len(faults)} faults")
    print(*faults[:20], sep="\n", end="\n" if faults else "")
    return 1 if faults or not taken else 0


sys.exit(main(pathlib.Path(sys.argv[1]), *map(int, sys.argv[2].split("-"))))
