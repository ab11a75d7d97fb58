"""Servers of the test that nobody should reach, and families of sockets."""

# ruff: noqa: E501
# (programs, as they are)

from __future__ import annotations

from tests.sandbox.attacks.model import FORKING, GO, SYSCALLS, Attack

TALK = (
    GO
    + """
import socket
def talk(what, family, kind, address, protocol=0, flags=0):
    try:
        s = socket.socket(family, kind, protocol)
        s.settimeout(0.2)
        if flags: s.sendto(b"attack-@TOKEN@", flags, address)
        else:
            s.connect(address)
            s.send(b"attack-@TOKEN@")
        print(what, "sent", flush=True)
        print(s.recv(4096), flush=True)
    except OSError as error: print(what, "refused", error, flush=True)
"""
)


def _attack(name: str, program: str, **other: object) -> Attack:
    return Attack(name, "network", program, **other)  # type: ignore[arg-type]


def _family(name: str, family: int, kind: int, protocol: int = 0) -> Attack:
    return _attack(
        f"socket_{name}",
        SYSCALLS + f"attempt({name!r}, 41, {family}, {kind}, {protocol})\n",
    )


ATTACKS = [
    _attack("tcp", TALK + "talk('tcp', 2, 1, ('127.0.0.1', @TCP@))\n", harmless=True),
    _attack("tcp6", TALK + "talk('tcp6', 10, 1, ('::1', @TCP@))\n"),
    _attack("udp", TALK + "talk('udp', 2, 2, ('127.0.0.1', @UDP@))\n", harmless=True),
    _attack(
        "tcp_fast_open",
        TALK + "talk('tfo', 2, 1, ('127.0.0.1', @TCP@), 0, 0x20000000)\n",
    ),
    _attack("multipath_tcp", TALK + "talk('mptcp', 2, 1, ('127.0.0.1', @TCP@), 262)\n"),
    _attack(
        "tcp_of_a_shell",
        "echo go\nbash -c 'exec 3<>/dev/tcp/127.0.0.1/@TCP@; echo attack >&3; cat <&3'\n"
        "curl -s -m 1 http://127.0.0.1:@TCP@/\n",
        language="shell",
        tiers=FORKING,
        harmless=True,
    ),
    _attack("unix_path", TALK + "talk('unix', 1, 1, '@UNIX@')\n", harmless=True),
    _attack(
        "unix_path_datagram",
        TALK + "talk('unix', 1, 2, '@UNIX_DGRAM@')\n",
        harmless=True,
    ),
    _attack(
        "unix_abstract",
        TALK + "talk('abstract', 1, 1, '\\0@ABSTRACT@')\n",
        harmless=True,
    ),
    _attack(
        "unix_abstract_datagram",
        TALK + "talk('abstract', 1, 2, '\\0@ABSTRACT_DGRAM@')\n",
    ),
    _attack(
        "pair_of_sockets_turned_on_the_host",
        GO
        + """
import socket
for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
    for address in ("@UNIX_DGRAM@", "@UNIX@", "\\0@ABSTRACT@", "\\0@ABSTRACT_DGRAM@"):
        ways = (lambda s: s.sendto(b"attack-@TOKEN@", address),
                lambda s: s.sendmsg([b"attack-@TOKEN@"], [], 0, address),
                lambda s: (s.connect(address), s.send(b"attack-@TOKEN@")),
                lambda s: s.bind("\\0attack-@TOKEN@"))
        for way in ways:
            try:
                ends = socket.socketpair(socket.AF_UNIX, kind)
                print("sent", way(ends[0]))
            except OSError as error: print("refused", error)
""",
    ),
    _attack(
        "many_datagrams_at_once",
        SYSCALLS
        + """
import socket, struct
ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
name = struct.pack("H", 1) + b"@UNIX_DGRAM@" + b"\\0"
data = ctypes.create_string_buffer(b"attack-@TOKEN@")
address = ctypes.create_string_buffer(name, len(name))
vector = (ctypes.c_ulong * 2)(ctypes.addressof(data), 6)
header = (ctypes.c_ulong * 8)(ctypes.addressof(address), len(name), ctypes.addressof(vector), 1)
print("sendmmsg", call(307, ends[0].fileno(), ctypes.byref(header), 1, 0))
print("sendmsg", call(46, ends[0].fileno(), ctypes.byref(header), 0))
""",
    ),
    _attack(
        "server",
        GO
        + """
import socket, time
for family, address in ((2, ("0.0.0.0", @FREE_PORT@)), (10, ("::", @FREE_PORT@)),
                        (1, "\\0attack-@TOKEN@"), (1, "@OPEN_DIR@/attack-@TOKEN@")):
    try:
        s = socket.socket(family, socket.SOCK_STREAM)
        s.bind(address)
        s.listen()
        print("listening")
    except OSError as error: print("refused", error)
time.sleep(0.3)
""",
    ),
    _attack(
        "names",
        GO
        + "import socket\ntry: print('BREACH', socket.getaddrinfo('example.com', 80))\n"
        "except OSError as error: print('refused', error)\n",
    ),
    _family("vsock", 40, 1),
    _family("netlink", 16, 3, 0),
    _family("netlink_audit", 16, 3, 9),
    _family("packet", 17, 3, 0x0300),
    _family("raw", 2, 3, 1),
    _family("ping", 2, 2, 1),
    _family("kernel_crypto", 38, 5),
    _family("can", 29, 3, 1),
    _family("tipc", 30, 1),
    _family("xdp", 44, 3),
    _family("bluetooth", 31, 3, 1),
    _family("sctp", 2, 5, 132),
    _family("key", 15, 3, 2),
    _family("rds", 21, 5),
]
