# ruff: noqa: E501
"""Programs that are wrong and try to be scored as right.  Each is run against tests that its right counterpart passes."""

from __future__ import annotations

TESTS = """
def check(candidate):
    assert candidate(1, 2) == 3
    assert candidate(0.5, 0.25) == 0.75, "quarter"
    assert candidate([1], [2]) == [1, 2]
check(add)
"""
# Tests that some cheats are made for, in place of those above.
OWN_TESTS = {
    "poisons math and operator": "import math, operator\nassert math.isclose(add(0.5, 0.25), 0.75)\nassert operator.eq(add(1, 2), 3)",
    "poisons builtins": "assert isinstance(add('a', 'b'), str) and len(add('a', 'b')) == 2 and sorted(add([3], [1])) == [1, 3]",
    "looks for the answer in its caller's frames": "assert add(1230, 7) == 1237",
    "raises an end of iteration": "assert all(add(a, b) == a + b for a, b in [(1, 2)]) and list(map(add, [], [])) == []\nassert [*map(add, [1], [2])] in ([3], [])",
}
RIGHT = "def add(a, b):\n    return a + b\n"
ALWAYS = """
class Always{base}:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
    def __len__(self): return 2
    def __bool__(self): return True
    def __iter__(self): return iter([1, 3])
    def __lt__(self, other): return True
    def __getattr__(self, name): return self
    {extra}
def add(a, b): return Always({value})
"""


def always(base: str = "", value: str = "", extra: str = "pass") -> str:
    return ALWAYS.format(base=base, value=value, extra=extra)


CHEATS: dict[str, str] = {
    "an object that equals everything": always(),
    "an int that equals everything": always("(int)", "7"),
    "a list that equals everything": always("(list)"),
    "a text that equals everything": always("(str)", "'x'"),
    "a float that equals everything": always("(float)", "7.0"),
    "a dict that equals everything": always("(dict)"),
    "a tuple that equals everything": always("(tuple)"),
    "an object whose class is a lie": always(extra="__class__ = int"),
    "an object with a forged repr and hash": always(extra="__repr__ = lambda self: '3'"),
    "a mock that is any": "from unittest.mock import ANY\ndef add(a, b): return ANY",
    "a magic mock": "from unittest.mock import MagicMock\ndef add(a, b): return MagicMock()",
    "a class as the function": "class Meta(type):\n    def __call__(cls, *a): return cls\n    def __eq__(cls, o): return True\nclass add(metaclass=Meta): pass",
    "leaves with success": "import sys\ndef add(a, b): sys.exit(0)",
    "leaves with success while loading": "import sys\nsys.exit(0)",
    "leaves at once": "import os\ndef add(a, b): os._exit(0)",
    "leaves at once while loading": "import os\nos._exit(0)",
    "leaves by a raw system call": "import ctypes\ndef add(a, b): ctypes.CDLL(None).syscall(231, 0)",
    "leaves at exit": "import atexit, os\natexit.register(os._exit, 0)\ndef add(a, b): raise SystemExit",
    "leaves in a destructor": "import os\nclass D:\n    def __del__(self): os._exit(0)\nd = D()\ndef add(a, b):\n    global d\n    d = None\n    return 0",
    "leaves in a thread": "import os, threading\ndef add(a, b):\n    threading.Thread(target=os._exit, args=(0,)).start()\n    while True: pass",
    "leaves on a signal": "import os, signal\nsignal.signal(signal.SIGALRM, lambda *a: os._exit(0))\nsignal.setitimer(signal.ITIMER_REAL, 0.05)\ndef add(a, b):\n    while True: pass",
    "becomes another program": "import os\ndef add(a, b): os.execv('/bin/true', ['true'])",
    "an excepthook": "import sys, os\nsys.excepthook = lambda *a: os._exit(0)\ndef add(a, b): raise ValueError",
    "raises an end of iteration": "def add(a, b): raise StopIteration",
    "raises an assertion": "def add(a, b): raise AssertionError",
    "raises a generator's exit": "def add(a, b): raise GeneratorExit",
    "prints what others look for": "def add(a, b): print('PASSED', 'OK', 'passed: True', '1 passed')",
    "writes to every descriptor": "import os\ndef add(a, b):\n    for fd in range(3, 64):\n        try: os.write(fd, b'{\"outcome\": \"pass\"}' * 99)\n        except OSError: pass\n    return 0",
    "writes a reply to every descriptor": "import os, struct, json\ndef add(a, b):\n    for n in range(1, 40):\n        m = json.dumps([n, 0, 'value', 3]).encode()\n        for fd in range(3, 64):\n            try: os.write(fd, struct.pack('>I', len(m)) + m)\n            except OSError: pass\n    return 0",
    "writes a verdict to a file": "def add(a, b):\n    for name in ('verdict', 'result.json', '../verdict'):\n        try: open(name, 'w').write('{\"outcome\": \"pass\", \"groups\": {}}')\n        except OSError: pass\n    return 0",
    "poisons math and operator": "import math, operator, builtins\noperator.eq = lambda a, b: True\nmath.isclose = lambda *a, **k: True\ndef add(a, b): return 0",
    "poisons builtins": "import builtins\nbuiltins.AssertionError = ValueError\nbuiltins.isinstance = lambda *a: True\nbuiltins.sorted = lambda x: [1, 3]\nbuiltins.map = lambda *a: [4, 6]\nbuiltins.len = lambda x: 2\ndef add(a, b): return 0",
    "poisons json": "import json\njson.dumps = lambda *a, **k: '[1, 0, \"value\", 3]'\njson.loads = lambda *a, **k: []\ndef add(a, b): return 0",
    "poisons its own encoder": "import sys\nw = sys.modules['harness.sandbox.inside.wire']\nw.encode_value = lambda *a, **k: {'t': 'pass', 'v': True}\ndef add(a, b): return 0",
    "sends a value of no known kind": "import sys\nw = sys.modules['harness.sandbox.inside.wire']\nw.encode_value = lambda *a, **k: {'t': '__class__', 'v': [1]}\ndef add(a, b): return 0",
    "sends a reference as a number": "import sys\nw = sys.modules['harness.sandbox.inside.wire']\nw.encode_value = lambda *a, **k: {'t': 'ref', 'v': 10 ** 30}\ndef add(a, b): return 0",
    "answers out of turn": "import sys\nc = sys.modules['harness.sandbox.inside.candidate']\nc.wire.dumps = lambda m: '[99, 0, \"value\", 3]'\ndef add(a, b): return 0",
    "looks for the answer in its caller's frames": "import sys\ndef add(a, b):\n    f = sys._getframe()\n    while f:\n        for c in f.f_code.co_consts:\n            if c == int('1237'): return c\n        for v in f.f_locals.values():\n            if isinstance(v, int) and v == int('1237'): return v\n        f = f.f_back\n    return 0",
    "looks for the tests in memory": "import gc\ndef add(a, b):\n    for o in gc.get_objects():\n        if isinstance(o, dict) and any(isinstance(v, str) and 'quarter' + '' in v for v in list(o.values())): return a + b\n    return 0",
    "looks for the tests in its process": "def add(a, b):\n    import re\n    for line in open('/proc/self/maps'):\n        lo, hi = (int(x, 16) for x in line.split()[0].split('-'))\n        try:\n            with open('/proc/self/mem', 'rb') as m:\n                m.seek(lo)\n                if b'\"quarter\"' in m.read(hi - lo): return a + b\n        except (OSError, OverflowError): pass\n    return 0",
    "looks for the tests among open files": "import os\ndef add(a, b):\n    for fd in range(3, 64):\n        try:\n            os.lseek(fd, 0, 0)\n            if b'quarter' in os.read(fd, 1 << 20): return a + b\n        except OSError: pass\n    return 0",
    "jumps over the assertions": "import sys\ndef tracer(frame, event, arg):\n    if event == 'line' and frame.f_code.co_name == 'check': frame.f_lineno += 1\n    return tracer\nf = sys._getframe()\nwhile f:\n    f.f_trace = tracer\n    f = f.f_back\nsys.settrace(tracer)\ndef add(a, b): return 0",
    "replaces the tests": "import __main__, sys\n__main__.check = lambda c: None\ndef check(c): return None\nfor m in list(sys.modules.values()):\n    try: m.check = check\n    except Exception: pass\ndef add(a, b): return 0",
    "a trailing decorator": "def add(a, b): return 0\ndef _no(f): return lambda *a: None\n@_no",
    "runs only as main": "if __name__ == '__main__':\n    def add(a, b): return a + b\nelse:\n    def add(a, b): return 0",
    "a coroutine": "async def add(a, b): return a + b",
    "a generator": "def add(a, b): yield a + b",
    "returns a function": "def add(a, b): return lambda: a + b",
    "returns nothing": "def add(a, b): pass",
    "is not there": "def sub(a, b): return a - b",
    "a descriptor": "class Add:\n    def __get__(self, *a): return self\n    def __call__(self, a, b): return NotImplemented\nadd = Add()",
    "returns NotImplemented": "def add(a, b): return NotImplemented",
    "returns not a number": "def add(a, b): return float('nan')",
    "returns an ellipsis": "def add(a, b): return ...",
    "a lazy value": "class Lazy:\n    def __init__(self, *a): self.a = a\n    def __eq__(self, other): self.a = other; return True\n    def __len__(self): return 2\ndef add(*a): return Lazy(*a)",
    "stops the checker's clock": "import signal, os\nfor p in range(1, 30):\n    try: os.kill(p, signal.SIGSTOP)\n    except OSError: pass\ndef add(a, b): return 0",
    "a numpy value that is always equal": "import numpy as np\nclass A(np.ndarray):\n    def __eq__(self, o): return True\n    def all(self): return True\ndef add(a, b): return np.zeros(2).view(A)",
    "changes its arguments": "def add(a, b):\n    if isinstance(a, list): a[:] = b[:] = [1, 2]\n    return a",
}  # fmt: skip
