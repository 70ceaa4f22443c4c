#!/usr/bin/env python3
"""Holds what `netmoth read` says of capture files against what tshark sees in them.

Compared are packets and IP bytes of TCP and UDP, each way of every conversation. A conversation is a protocol and two
endpoints; VLANs and tunnels are not told apart, and netmoth's records of the same endpoints are added up. Every TCP or
UDP header counts with the IP header right before it, so that a frame of a UDP tunnel counts as two packets. What an
ICMP error quotes is no traffic. A later piece of a datagram counts where its first piece went, within two seconds.

Prints a line for each conversation that differs, and a table. Exit status: 0 where every difference is explained, 1
where one is not, 2 for wrong usage or a tool that fails.
"""

import argparse
import ipaddress
import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
PROTOCOLS = {"tcp": 6, "udp": 17}
NAMES = {number: name for name, number in PROTOCOLS.items()}
# As long as netmoth remembers the first piece of a datagram.
PIECES_SECONDS = 2.0
TSHARK = ["tshark", "-n", "-T", "pdml", "-J", "frame ip ipv6 ah tcp udp"]
# Teredo clients talk to each other on any port, so it is looked for on all of them.
TSHARK += ["--enable-heuristic", "teredo_udp"]
# Packets as they are on the wire: nothing is put together.
for option in ("ip.defragment:FALSE", "ipv6.defragment:FALSE", "tcp.desegment_tcp_streams:FALSE"):
    TSHARK += ["-o", option]


def fail(message):
    print(f"compare-tshark: {message}", file=sys.stderr)
    sys.exit(2)


class Traffic:
    """Packets and IP bytes by conversation: {conversation: {sender: [packets, bytes]}}."""

    def __init__(self):
        self.sums = defaultdict(lambda: defaultdict(lambda: [0, 0]))
        self.frames = defaultdict(list)

    def add(self, protocol, source, destination, packets, octets, frame=None):
        conversation = (protocol, *sorted((source, destination), key=order))
        sums = self.sums[conversation][source]
        sums[0] += packets
        sums[1] += octets
        if frame is not None:
            self.frames[conversation].append(frame)

    def of(self, conversation):
        """Packets and bytes each way, as four numbers; equal ends make one way."""
        _, first, second = conversation
        sums = self.sums.get(conversation, {})
        there, back = sums.get(first, [0, 0]), sums.get(second, [0, 0])
        return (*there, *(back if first != second else [0, 0]))


def order(end):
    address, port = end
    return (address.version, int(address), port)


class Tshark:
    """Reads what tshark dissects, frame by frame."""

    def __init__(self):
        self.traffic = Traffic()
        self.pieces = {}

    def read(self, capture):
        # Its output goes to a file: a pipe that isn't emptied while its messages are read would block it.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as messages:
            code = subprocess.run([*TSHARK, "-r", str(capture)], stdout=out, stderr=messages, check=False).returncode
            messages.seek(0)
            said = messages.read().decode(errors="replace").strip()
            # What stands before the cut is dissected all the same.
            if code != 0 and "cut short" not in said:
                fail(f"tshark fails with {code} on {capture}: {said}")
            out.seek(0)
            for _, element in ElementTree.iterparse(out):
                if element.tag == "packet":
                    self.packet(element)
                    element.clear()
        return self.traffic

    def packet(self, packet):
        ip, frame = None, {}
        # Layers in a row are headers that follow on each other; what stands within a layer is quoted by it.
        for layer in packet.findall("proto"):
            name = layer.get("name")
            if name == "frame":
                frame = fields(layer)
            elif name in ("ip", "ipv6"):
                ip = header(name, layer, frame)
                if ip and ip["later"]:
                    self.later_piece(ip, frame)
            elif name in PROTOCOLS and ip and ip["protocol"] == PROTOCOLS[name]:
                self.transport(name, fields(layer), ip, frame)
                ip = None

    def transport(self, name, found, ip, frame):
        if f"{name}.srcport" not in found or f"{name}.dstport" not in found:
            return
        ports = int(found[f"{name}.srcport"]), int(found[f"{name}.dstport"])
        if ip["piece"] is not None:
            self.pieces[ip["piece"]] = (float(frame["frame.time_epoch"]), ports)
        self.count(ip, ports, frame)

    def later_piece(self, ip, frame):
        if ip["protocol"] not in NAMES:
            return
        seen, ports = self.pieces.get(ip["piece"], (float("-inf"), (0, 0)))
        if float(frame["frame.time_epoch"]) - seen > PIECES_SECONDS:
            ports = (0, 0)
        self.count(ip, ports, frame)

    def count(self, ip, ports, frame):
        source, destination = (ip["source"], ports[0]), (ip["destination"], ports[1])
        self.traffic.add(ip["protocol"], source, destination, 1, ip["bytes"], int(frame["frame.number"]))


def fields(layer):
    """The fields of a layer by name; of fields that repeat, the first."""
    found = {}
    for field in layer.iter("field"):
        found.setdefault(field.get("name"), field.get("show"))
    return found


def header(name, layer, frame):
    """What counts of an IP header; None where tshark shows no whole one."""
    found = fields(layer)
    if f"{name}.src" not in found or f"{name}.dst" not in found:
        return None
    # Both length fields are 0 where segmentation is left to the card, and in jumbograms: then the frame says it.
    rest = int(frame["frame.len"]) - int(layer.get("pos"))
    if name == "ip":
        octets = int(found["ip.len"]) or rest
        protocol = int(found["ip.proto"])
        offset, more = int(found["ip.frag_offset"]), flag(found["ip.flags.mf"])
        identification = found["ip.id"]
    else:
        length = int(found["ipv6.plen"])
        octets = 40 + length if length else rest
        offset, more = int(found.get("ipv6.fraghdr.offset", "0")), flag(found.get("ipv6.fraghdr.more", "0"))
        identification = found.get("ipv6.fraghdr.ident")
        protocol = last_protocol(layer)
    source, destination = (ipaddress.ip_address(found[f"{name}.{end}"]) for end in ("src", "dst"))
    return {
        "source": source,
        "destination": destination,
        "protocol": protocol,
        "bytes": octets,
        "later": offset > 0,
        "piece": (source, destination, protocol, identification) if offset > 0 or more else None,
    }


def flag(shown):
    return shown in ("1", "True", "true")


def last_protocol(layer):
    """The next header that the last header of an IPv6 chain names."""
    # Authentication is an extension header there, and a protocol of its own in IPv4.
    following = re.compile(r"ipv6\.(.*\.)?nxt|ah\.next_header")
    return int([field for field in layer.iter("field") if following.fullmatch(field.get("name"))][-1].get("show"))


def netmoth(binary, capture):
    done = subprocess.run([binary, "read", "--format", "json", str(capture)], capture_output=True, check=False)
    if done.returncode != 0:
        fail(f"{binary} fails with {done.returncode} on {capture}: {done.stderr.decode(errors='replace').strip()}")
    traffic = Traffic()
    for line in done.stdout.splitlines():
        record = json.loads(line)
        if record["proto"] not in NAMES:
            continue
        source = (ipaddress.ip_address(record["src_ip"]), record["src_port"])
        destination = (ipaddress.ip_address(record["dst_ip"]), record["dst_port"])
        for way, ends in (("src", (source, destination)), ("dst", (destination, source))):
            traffic.add(record["proto"], *ends, record[f"{way}_packets"], record[f"{way}_bytes"])
    return traffic


def explanations(path):
    """The rows `| capture | conversations | reason |` of a file in Markdown: {capture: (conversations, reason)}."""
    rows = {}
    for line in path.read_text().splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        if len(cells) == 3 and cells[1].isdigit():
            rows[cells[0]] = (int(cells[1]), cells[2])
    return rows


def captures(paths):
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if re.search(r"\.(pcap|pcapng|cap)(\.gz)?$", p.name))
        elif path.exists():
            yield path
        else:
            fail(f"{path} does not exist")


class Report:
    """Lines for what differs, and the sums of all captures."""

    def __init__(self, explained):
        self.explained = explained
        # Each a row: equal, differing, explained of the differing.
        self.rows = {name: [0, 0, 0] for name in ("captures", "conversations", "packets", "IP bytes")}
        self.unexplained = 0

    def capture(self, capture, theirs, ours):
        differing = []
        by_ends = sorted(theirs.sums.keys() | ours.sums.keys(), key=lambda c: (c[0], order(c[1]), order(c[2])))
        for conversation in by_ends:
            said = theirs.of(conversation), ours.of(conversation)
            if said[0] != said[1]:
                differing.append((conversation, *said))
            self.count("conversations", *((1, 0) if said[0] == said[1] else (0, 1)))
            for name, at in (("packets", 0), ("IP bytes", 1)):
                ways = list(zip(said[0][at::2], said[1][at::2]))
                self.count(name, sum(min(way) for way in ways), sum(abs(a - b) for a, b in ways))
        self.count("captures", *((0, 1) if differing else (1, 0)))
        expected, reason = self.explained.get(capture.name, (0, ""))
        if len(differing) != expected:
            self.unexplained += 1
            print(f"{capture}: {len(differing)} conversations differ, {expected} of them explained")
            self.lines(capture, theirs, differing)
        elif differing:
            print(f"{capture}: {len(differing)} conversations differ, explained: {reason}")
            self.explain(differing)

    def lines(self, capture, theirs, differing):
        for conversation, tshark, ours in differing:
            protocol, first, second = conversation
            frames = theirs.frames[conversation]
            shown = ", ".join(map(str, frames[:6])) + (", …" if len(frames) > 6 else "")
            print(
                f"{capture.name}: {NAMES[protocol]} {end(first)} {end(second)}: tshark {ways(tshark)}, "
                f"netmoth {ways(ours)}; tshark's frames: {shown or 'none'}"
            )

    def explain(self, differing):
        self.rows["captures"][2] += 1
        for _, tshark, ours in differing:
            self.rows["conversations"][2] += 1
            for name, at in (("packets", 0), ("IP bytes", 1)):
                self.rows[name][2] += sum(abs(a - b) for a, b in zip(tshark[at::2], ours[at::2]))

    def count(self, name, equal, differing):
        self.rows[name][0] += equal
        self.rows[name][1] += differing

    def table(self):
        print(f"\n{'':13} {'equal':>12} {'differing':>12} {'explained':>12}")
        for name, numbers in self.rows.items():
            print(f"{name:13} " + " ".join(f"{number:>12,}" for number in numbers))


def end(end):
    address, port = end
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def ways(said):
    there, there_bytes, back, back_bytes = said
    return f"{there}/{back} packets {there_bytes}/{back_bytes} bytes"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--netmoth", default=str(ROOT / "target/release/netmoth"), help="the binary (%(default)s)")
    explained = ROOT / "docs/tshark-differences.md"
    parser.add_argument("--explained", type=Path, default=explained, help="what differs, and why (%(default)s)")
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE_OR_FOLDER")
    options = parser.parse_args()
    if not options.explained.exists():
        fail(f"{options.explained} does not exist; --explained /dev/null explains nothing")
    report = Report(explanations(options.explained))
    for capture in captures(options.paths):
        report.capture(capture, Tshark().read(capture), netmoth(options.netmoth, capture))
    report.table()
    sys.exit(1 if report.unexplained else 0)


if __name__ == "__main__":
    try:
        main()
    except FileNotFoundError as error:
        fail(f"{error.filename} can't be started: is it built and installed?")
