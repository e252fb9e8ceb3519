# ruff: noqa: E501
"""Hostile programs.  `REACH`: each body tries one thing that no program may do, and returns something true if it could; the
same body run without a sandbox is the control that the attempt is real.  `EXHAUST`: programs that use things up; each is
bounded by itself, so that a broken sandbox does not take the machine down."""

from __future__ import annotations

from dataclasses import dataclass

HEAD = """
import ctypes, fcntl, mmap, os, resource, shutil, signal, socket, stat, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def system_call(name, *values):
    return libc.syscall(ctypes.c_long(T["calls"][name]), *[v if not isinstance(v, int) else ctypes.c_long(v) for v in values]) >= 0
def done(*results):
    return True
def attempt(t):
    global T
    T = t
"""


@dataclass(frozen=True)
class Reach:
    name: str
    body: str
    control: bool = True  # it succeeds without a sandbox
    hidden: bool = True  # False: the Landlock tier cannot stop it, and need not (the existence of a path)

    @property
    def program(self) -> str:
        return HEAD + "\n".join(f"    {line}" for line in self.body.strip().split("\n"))


def listed(text: str) -> tuple[Reach, ...]:
    """Attacks from text: a line "# name" (with "!" in front: no control), then the body."""
    found = []
    for part in text.strip().split("\n# "):
        name, _, body = part.removeprefix("# ").partition("\n")
        found.append(Reach(name.lstrip("!~"), body, not name.startswith("!"), "~" not in name[:2]))
    return tuple(found)


REACH = listed("""
# reads a file of the host
return open(t["canary"]).read()
# lists a folder of the host
return os.listdir(t["folder"])
# reads the table of users
return open("/etc/passwd").read()
# reads a secret in the home folder
return open(t["home"] + "/.secret").read()
# !reads a secret in the environment
return [v for v in os.environ.values() if "secret-in-the-environment" in v]
# reads another process's environment
return open(f"/proc/{t['pid']}/environ", "rb").read()
# reads another process's command line
return open(f"/proc/{t['pid']}/cmdline", "rb").read()
# lists the processes
return os.listdir("/proc")
# reads a third-party package that is not allowed
return open(t["package"]).read()
# reads through a symbolic link
os.symlink(t["canary"], "link"); return open("link").read()
# reads through a hard link
os.link(t["canary"], t["folder"] + "/hard"); return open(t["folder"] + "/hard").read()
# reads below an open root folder
top = os.open("/", os.O_RDONLY); return os.read(os.open(t["canary"].lstrip("/"), os.O_RDONLY, dir_fd=top), 99)
# reads through the C library
fd = libc.open(t["canary"].encode(), 0); return fd >= 0 and os.read(fd, 99)
# reads by a raw system call
fd = libc.syscall(ctypes.c_long(t["calls"]["openat"]), -100, t["canary"].encode(), 0, 0); return fd >= 0 and os.read(fd, 99)
# maps a file of the host into memory
with open(t["canary"], "rb") as f: return mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)[:]
# climbs out of its folder
os.chdir("../" * 20); return open(t["canary"].lstrip("/")).read()
# changes its root folder
os.chroot("."); return True
# ~sees whether a path exists
return os.path.exists(t["canary"])
# appends to a file of the host
with open(t["canary"], "a") as f: return f.write("x")
# makes a file beside it
with open(t["folder"] + "/new", "w") as f: return f.write("x")
# deletes a file of the host
os.unlink(t["victims"][0]); return True
# renames a file of the host
os.rename(t["victims"][1], t["victims"][1] + ".moved"); return True
# moves a file of the host to itself
os.rename(t["victims"][2], "mine"); return True
# changes a file's mode
os.chmod(t["victims"][3], 0o777); return True
# changes a file's times
os.utime(t["victims"][3], (1, 1)); return True
# truncates a file
os.truncate(t["victims"][4], 0); return True
# changes a file's owner
os.chown(t["victims"][3], os.getuid(), os.getgid()); return True
# opens a file for writing and creation
os.open(t["folder"] + "/made", os.O_WRONLY | os.O_CREAT | os.O_TRUNC); return True
# makes a folder
os.mkdir(t["folder"] + "/sub"); return True
# puts a link into a folder of the host
os.symlink("x", t["folder"] + "/link"); return True
# opens the standard library for writing
open(os.__file__, "a").close(); return True
# puts a module beside the standard library
path = os.path.dirname(os.__file__) + "/skilldelta_test_module.py"; open(path, "w").close(); os.unlink(path); return True
# mounts a file system
os.mkdir("m"); ok = libc.mount(b"none", b"m", b"tmpfs", 0, b"size=64k") == 0; libc.umount(b"m"); return ok
# makes a device
os.mknod("device", 0o600 | stat.S_IFCHR, os.makedev(1, 3)); return True
# sets the name of the machine
return libc.sethostname(b"taken", 5) == 0
# connects to a TCP port
socket.create_connection(("127.0.0.1", t["tcp"]), 5).send(b"x"); return True
# sends a UDP packet
return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", t["udp"]))
# connects to an abstract socket
socket.socket(socket.AF_UNIX).connect("\\0" + t["abstract"]); return True
# connects to a socket in the file system
socket.socket(socket.AF_UNIX).connect(t["path"]); return True
# sends to a socket from a pair
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); return a.sendto(b"x", t["datagram"])
# listens on a TCP port
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); return True
# opens a raw socket
socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP); return True
# opens a packet socket
socket.socket(socket.AF_PACKET, socket.SOCK_RAW); return True
# opens a netlink socket
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW); return True
# asks a web server
import http.client; c = http.client.HTTPConnection("127.0.0.1", t["tcp"], timeout=5); c.connect(); return True
# forks
pid = os.fork()
if pid == 0: os._exit(0)
os.waitpid(pid, 0); return True
# forks through the C library
pid = libc.fork()
if pid == 0: libc._exit(0)
return pid > 0
# runs a program
return subprocess.run(["/bin/true"]).returncode == 0
# runs a shell command
return os.system("true") == 0
# spawns a program
return os.posix_spawn("/bin/true", ["true"], {})
# starts a process of multiprocessing
import multiprocessing; p = multiprocessing.get_context("fork").Process(target=len, args=("",)); p.start(); p.join(); return True
# makes a daemon
if os.fork() == 0:
    os.setsid(); time.sleep(0.2); os._exit(0)
return True
# signals the harness
os.kill(t["pid"], 0); return True
# signals its parent
os.kill(os.getppid(), 0); return True
# signals a queue's worth
return libc.sigqueue(t["pid"], 0, 0) == 0
# slows the harness down
os.setpriority(os.PRIO_PROCESS, t["pid"], 1); return True
# reads the harness's limits
return resource.prlimit(t["pid"], resource.RLIMIT_NOFILE)
# moves the harness to another processor
os.sched_setaffinity(t["pid"], os.sched_getaffinity(0)); return True
# lets itself be traced
return libc.ptrace(0, 0, 0, 0) == 0
# traces the harness
return libc.ptrace(0x4206, t["pid"], 0, 0) == 0
# reads the harness's memory
class Part(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
here, there = Part(ctypes.addressof(ctypes.create_string_buffer(8)), 8), Part(t["address"], 8)
return libc.process_vm_readv(t["pid"], ctypes.byref(here), 1, ctypes.byref(there), 1, 0) == 8
# holds the harness by a descriptor
return os.pidfd_open(t["pid"])
# has signals sent to the harness on input
fd = os.open("file", os.O_RDWR | os.O_CREAT); fcntl.fcntl(fd, 8, t["pid"]); return True
# is root
return 0 in (os.getuid(), os.geteuid(), os.getgid())
# makes a user namespace
return libc.unshare(0x10000000) == 0
# makes a namespace
return libc.unshare(0x4000000) == 0
# sets up io_uring
return system_call("io_uring_setup", 1, ctypes.create_string_buffer(256))
# adds a key to the kernel's ring
return system_call("add_key", b"user", b"skilldelta", b"x", 1, -2)
# handles page faults itself
return system_call("userfaultfd", 1)
# loads a BPF map
attribute = (ctypes.c_uint32 * 32)(2, 4, 4, 1); return system_call("bpf", 0, ctypes.byref(attribute), 128)
# makes a file in memory
return os.memfd_create("x") >= 0
# makes shared memory
n = libc.shmget(0, 4096, 0o1600); ok = n >= 0; libc.shmctl(n, 0, 0); return ok
# !opens a message queue
return system_call("mq_open", b"skilldelta", 0o102, 0o600, None)
# lets its memory be dumped
return libc.prctl(4, 1, 0, 0, 0) == 0
# asks the kernel to write everything out
os.sync(); return system_call("sync")
# changes how the kernel kills
with open("/proc/self/oom_score_adj", "w") as f: return f.write("1")
""")

# A program, what it may end as, and why that is right.
EXHAUST: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("spins", "def f():\n    while True: pass", ("timeout",)),
    ("spins while loading", "while True: pass", ("timeout",)),
    ("spins in C", "def f(): return 7 ** (10 ** 9) % 2", ("timeout", "memory")),
    ("spins and ignores the signal", "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\ndef f():\n    while True: pass", ("timeout",)),
    ("spins in many threads", "import threading\ndef spin():\n    while True: pass\ndef f():\n    ts = [threading.Thread(target=spin) for _ in range(2)]\n    [t.start() for t in ts]; [t.join() for t in ts]", ("timeout",)),
    ("searches with a bad pattern", "import re\ndef f(): return re.match('(a+)+$', 'a' * 40 + 'b')", ("timeout",)),
    ("sleeps", "import time\ndef f(): time.sleep(60)", ("timeout",)),
    ("waits for nobody", "import threading\ndef f(): threading.Event().wait()", ("timeout",)),
    ("waits for input on a pipe of its own", "import os\ndef f():\n    r, w = os.pipe()\n    return os.read(r, 1)", ("timeout",)),
    ("allocates at once", "def f(): return len(bytearray(3 << 30))", ("memory",)),
    ("allocates bit by bit", "def f():\n    x = []\n    for _ in range(400): x.append(bytearray(8 << 20))\n    return len(x)", ("memory",)),
    ("allocates and catches", "def f():\n    x = []\n    try:\n        for _ in range(400): x.append(bytearray(8 << 20))\n    except MemoryError: pass\n    return len(x) * 8 > 1100", ("wrong",)),
    ("maps memory", "import mmap\ndef f():\n    x = [mmap.mmap(-1, 256 << 20) for _ in range(12)]\n    return len(x)", ("memory", "error")),
    ("makes a huge number", "def f(): return 1 << (1 << 34)", ("memory", "error")),
    ("makes a huge text", "def f(): return 'x' * (1 << 32)", ("memory",)),
    ("returns more than may pass", "def f(): return 'x' * (100 << 20)", ("error",)),
    ("returns too many items", "def f():\n    while True: yield 1", ("error", "wrong", "memory")),
    ("returns a deep list", "def f():\n    x = []\n    for _ in range(100000): x = [x]\n    return x", ("error",)),
    ("returns a list that holds itself", "def f():\n    x = []\n    x.append(x)\n    return x", ("error",)),
    ("prints without end", "def f():\n    for _ in range(1 << 20): print('x' * 1000)", ("output",)),
    ("prints without end and ignores the signal", "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\ndef f():\n    for _ in range(40000): print('x' * 1000)", ("output", "error", "wrong", "crash")),
    ("writes a large file", "def f():\n    with open('x', 'wb') as g:\n        for _ in range(64): g.write(bytes(1 << 20))", ("output",)),
    ("writes many large files", "def f():\n    for i in range(12):\n        with open(str(i), 'wb') as g: g.write(bytes(15 << 20)); g.flush()\n    import time; time.sleep(1)", ("error", "output", "timeout")),
    ("makes many files", "def f():\n    for i in range(20000): open(str(i), 'w').close()\n    import time; time.sleep(1)", ("error", "output", "timeout")),
    ("makes deep folders", "import os\ndef f():\n    for i in range(3000):\n        os.mkdir('d'); os.chdir('d')\n    return 0", ("wrong", "error", "output", "timeout")),
    ("makes folders that nobody may enter", "import os\ndef f():\n    os.makedirs('a/b/c'); os.chmod('a/b', 0)\n    return 0", ("wrong", "error")),
    ("opens many files", "def f():\n    x = [open('/dev/null') for _ in range(500)]\n    return 0", ("error",)),
    ("starts many threads", "import threading, time\ndef f():\n    threading.stack_size(32768)\n    x = [threading.Thread(target=time.sleep, args=(1,), daemon=True) for _ in range(2500)]\n    [t.start() for t in x]\n    return 0", ("error", "memory")),
    ("forks many times", "import os\ndef f():\n    for _ in range(50):\n        if os.fork() == 0: os._exit(0)\n    return 0", ("error",)),
    ("recurses without end", "def f(): return f()", ("error",)),
    ("recurses in C", "import sys\nsys.setrecursionlimit(10**9)\nclass A:\n    def __repr__(self): return repr(self)\ndef f(): return repr(A())", ("crash", "error", "memory")),
    ("reads address 0", "import ctypes\ndef f(): return ctypes.string_at(0)", ("crash",)),
    ("aborts", "import os\ndef f(): os.abort()", ("crash",)),
    ("kills itself", "import os, signal\ndef f(): os.kill(os.getpid(), signal.SIGKILL)", ("crash",)),
    ("stops itself", "import os, signal\ndef f(): os.kill(os.getpid(), signal.SIGSTOP)", ("timeout",)),
    ("kills its group", "import os, signal\ndef f(): os.kill(0, signal.SIGTERM)", ("crash",)),
    ("kills everybody", "import os, signal\ndef f(): os.kill(-1, signal.SIGKILL)", ("error",)),
    ("closes all descriptors", "import os\ndef f(): os.closerange(0, 64)", ("crash", "timeout")),
    ("raises what cannot be printed", "class E(Exception):\n    def __str__(self): raise self\ndef f(): raise E", ("error",)),
    ("raises a long name", "def f(): raise type('x' * (4 << 20), (Exception,), {})('y' * (4 << 20))", ("error",)),
    ("raises half a character", "def f(): raise ValueError('\\ud800')", ("error",)),
    ("raises an interrupt", "def f(): raise KeyboardInterrupt", ("error",)),
    ("is no Python", "def f(:", ("error",)),
    ("is deeply nested", "x = " + "(" * 5000 + ")" * 5000, ("error", "memory", "crash")),
    ("holds a null byte", "x = '\\0'\ndef f(): return chr(0)", ("wrong",)),
)  # fmt: skip
