"""Honest programs, and exactly what each prints."""

# ruff: noqa: E501
# (programs, as they are)

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["PROGRAMS", "Benign"]


@dataclass(frozen=True)
class Benign:
    """An honest program.

    Attributes:
        name: Unique.
        program: Its source.
        stdout: What it prints.
        stdin: What it reads.
        code: Its exit code.
        language: What it is written in.
        files: What stands in its directory.
    """

    name: str
    program: str
    stdout: str
    stdin: str = ""
    code: int = 0
    language: str = "python"
    files: dict[str, str] = field(default_factory=dict)


PROGRAMS = [
    Benign("arithmetic", "print(1 + 1)\n", "2\n"),
    Benign(
        "mathematics",
        "import math, cmath, statistics, fractions\n"
        "print(math.comb(20, 10), round(math.pi, 5), math.isqrt(10**20))\n"
        "print(statistics.mean([1, 2, 6]), fractions.Fraction(3, 6), cmath.sqrt(-1))\n",
        "184756 3.14159 10000000000\n3 1/2 1j\n",
    ),
    Benign(
        "json",
        "import json\nprint(json.dumps({'a': [1, 2.5, None, True], 'ü': 'ß'}, sort_keys=True))\n"
        'print(json.loads(\'{"x": [1, {"y": "\\\\u00e9"}]}\'))\n',
        "{\"a\": [1, 2.5, null, true], \"\\u00fc\": \"\\u00df\"}\n{'x': [1, {'y': 'é'}]}\n",
    ),
    Benign(
        "regular_expressions",
        "import re\nprint(re.findall(r'(\\w+)@(\\w+)', 'a@b, cc@dd'), re.sub(r'\\d+', '#', 'a1b22'))\n",
        "[('a', 'b'), ('cc', 'dd')] a#b#\n",
    ),
    Benign(
        "collections",
        "from collections import Counter, OrderedDict, defaultdict, deque, namedtuple\n"
        "P = namedtuple('P', 'x y')\nd = defaultdict(list)\nd['k'].append(P(1, 2))\n"
        "print(Counter('abracadabra').most_common(2), dict(d), deque([1, 2, 3], maxlen=2))\n",
        "[('a', 5), ('b', 2)] {'k': [P(x=1, y=2)]} deque([2, 3], maxlen=2)\n",
    ),
    Benign(
        "threads",
        "import threading, queue\nq = queue.Queue()\n"
        "ts = [threading.Thread(target=lambda i=i: q.put(i * i)) for i in range(8)]\n"
        "[t.start() for t in ts]; [t.join() for t in ts]\n"
        "print(sorted(q.get() for _ in range(8)))\n",
        "[0, 1, 4, 9, 16, 25, 36, 49]\n",
    ),
    Benign(
        "thread_pool",
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(4) as pool: print(list(pool.map(lambda x: x ** 2, range(6))))\n",
        "[0, 1, 4, 9, 16, 25]\n",
    ),
    Benign(
        "asyncio",
        "import asyncio\nasync def f(i):\n    await asyncio.sleep(0.01 * (3 - i))\n    return i\n"
        "async def main():\n    print(await asyncio.gather(*(f(i) for i in range(3))))\nasyncio.run(main())\n",
        "[0, 1, 2]\n",
    ),
    Benign(
        "sqlite_in_memory",
        "import sqlite3\nc = sqlite3.connect(':memory:')\nc.execute('create table t (a int, b text)')\n"
        "c.executemany('insert into t values (?, ?)', [(1, 'x'), (2, 'y')])\n"
        "print(c.execute('select sum(a), group_concat(b) from t').fetchall())\n",
        "[(3, 'x,y')]\n",
    ),
    Benign(
        "sqlite_in_a_file",
        "import sqlite3\nc = sqlite3.connect('db.sqlite')\nwith c: c.execute('create table t (a)')\n"
        "with c: c.executemany('insert into t values (?)', [(i,) for i in range(100)])\n"
        "c.close()\nprint(sqlite3.connect('db.sqlite').execute('select count(*) from t').fetchone())\n",
        "(100,)\n",
    ),
    Benign(
        "files_and_directories",
        "import os, shutil, pathlib\nos.makedirs('a/b')\npathlib.Path('a/b/c.txt').write_text('hi')\n"
        "shutil.copy('a/b/c.txt', 'a/d.txt')\nos.rename('a/d.txt', 'a/e.txt')\n"
        "print(sorted(str(p) for p in pathlib.Path('.').rglob('*')), open('a/e.txt').read())\n"
        "shutil.rmtree('a')\nprint(os.listdir('.'))\n",
        "['a', 'a/b', 'a/b/c.txt', 'a/e.txt'] hi\n[]\n",
    ),
    Benign(
        "given_files",
        "import helper\nprint(helper.double(21), open('data/in.txt').read())\n",
        "42 text\n",
        files={"helper.py": "def double(x): return 2 * x\n", "data/in.txt": "text"},
    ),
    Benign(
        "decimals",
        "from decimal import Decimal, getcontext\ngetcontext().prec = 30\n"
        "print(Decimal(1) / Decimal(7), Decimal('0.1') + Decimal('0.2'))\n",
        "0.142857142857142857142857142857 0.3\n",
    ),
    Benign(
        "unicode",
        "import sys, unicodedata\ntext = sys.stdin.read()\n"
        "print(text.upper(), len(text), unicodedata.name(text[0]))\nopen('ü.txt', 'w').write('日本')\n"
        "print(open('ü.txt').read(), '\\U0001f600')\n",
        "ÄÖ日 3 LATIN SMALL LETTER A WITH DIAERESIS\n日本 \U0001f600\n",
        stdin="äö日",
    ),
    Benign(
        "much_output",
        "for i in range(20000): print('line', i)\n",
        "".join(f"line {i}\n" for i in range(20000)),
    ),
    Benign("last_line_without_an_end", "print('no end', end='')\n", "no end"),
    Benign(
        "reading_lines",
        "n = int(input())\nprint(sum(int(input()) for _ in range(n)))\nimport sys\nprint(repr(sys.stdin.readline()))\n",
        "6\n''\n",
        stdin="3\n1\n2\n3\n",
    ),
    Benign(
        "big_input",
        "import sys\ndata = sys.stdin.buffer.read()\nprint(len(data), data[-3:])\n",
        "500000 b'xyz'\n",
        stdin="a" * 499997 + "xyz",
    ),
    Benign("input_unread", "print('done')\n", "done\n", stdin="x" * 200000),
    Benign(
        "exception",
        "print('before')\nraise ValueError('it is wrong')\n",
        "before\n",
        code=1,
    ),
    Benign("exit_code", "import sys\nprint('bye')\nsys.exit(7)\n", "bye\n", code=7),
    Benign("exit_with_words", "import sys\nsys.exit('words')\n", "", code=1),
    Benign(
        "caught_exception",
        "try: 1 / 0\nexcept ZeroDivisionError as e: print(e)\n",
        "division by zero\n",
    ),
    Benign(
        "dataclasses",
        "from dataclasses import dataclass, asdict, field\n@dataclass(order=True)\nclass P:\n    x: int\n"
        "    tags: list = field(default_factory=list)\nprint(sorted([P(2), P(1, ['a'])]), asdict(P(3)))\n",
        "[P(x=1, tags=['a']), P(x=2, tags=[])] {'x': 3, 'tags': []}\n",
    ),
    Benign(
        "csv",
        "import csv, io\nrows = list(csv.DictReader(io.StringIO('a,b\\n1,\"x,y\"\\n')))\nprint(rows)\n",
        "[{'a': '1', 'b': 'x,y'}]\n",
    ),
    Benign(
        "dates",
        "from datetime import datetime, timedelta, timezone\nd = datetime(2024, 2, 28, tzinfo=timezone.utc)\n"
        "print((d + timedelta(days=2)).isoformat(), d.strftime('%A'))\n",
        "2024-03-01T00:00:00+00:00 Wednesday\n",
    ),
    Benign(
        "heaps_and_iterators",
        "import heapq, itertools, bisect, functools, operator\nh = [5, 1, 4]\nheapq.heapify(h)\n"
        "print([heapq.heappop(h) for _ in range(3)], list(itertools.combinations('abc', 2)))\n"
        "print(bisect.bisect([1, 3, 5], 3), functools.reduce(operator.mul, range(1, 6)))\n",
        "[1, 4, 5] [('a', 'b'), ('a', 'c'), ('b', 'c')]\n2 120\n",
    ),
    Benign(
        "hashes",
        "import hashlib, base64, zlib, hmac\nprint(hashlib.sha256(b'x').hexdigest()[:16], base64.b64encode(b'hi'))\n"
        "print(len(zlib.compress(b'a' * 10**6)) < 2000, hmac.new(b'k', b'm', 'md5').hexdigest()[:8])\n",
        "2d711642b726b044 b'aGk='\nTrue ed7e724d\n",
    ),
    Benign(
        "temporary_files",
        "import tempfile, os\nwith tempfile.TemporaryDirectory() as d:\n"
        "    with open(os.path.join(d, 'f'), 'w') as f: f.write('x')\n    print(os.listdir(d))\n"
        "with tempfile.NamedTemporaryFile() as f:\n    f.write(b'y'); f.flush(); print(os.path.getsize(f.name))\n",
        "['f']\n1\n",
    ),
    Benign(
        "seeded_chance",
        "import random\nr = random.Random(7)\nprint([r.randint(1, 6) for _ in range(5)])\n",
        "[3, 2, 4, 6, 1]\n",
    ),
    Benign(
        "main_guard_and_arguments",
        "import sys\nif __name__ == '__main__': print(len(sys.argv), __name__)\n",
        "1 __main__\n",
    ),
    Benign(
        "pickles_and_copies",
        "import pickle, copy\nclass A: x = 1\na = A(); a.y = [1]\nb = pickle.loads(pickle.dumps(a))\n"
        "print(b.y, copy.deepcopy(a).y)\n",
        "[1] [1]\n",
    ),
    Benign(
        "fifty_megabytes",
        "data = bytearray(50 * 2**20)\ndata[-1] = 1\nprint(sum(data[-10:]))\n",
        "1\n",
    ),
    Benign(
        "exit_functions",
        "import atexit\natexit.register(print, 'last')\nprint('first')\n",
        "first\nlast\n",
    ),
    Benign(
        "alarm_of_its_own",
        "import signal, time\ndef ring(*_): raise TimeoutError('rang')\nsignal.signal(signal.SIGALRM, ring)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.05)\ntry: time.sleep(5)\n"
        "except TimeoutError as e: print(e)\n",
        "rang\n",
    ),
]

FORKING = [
    Benign(
        "subprocess",
        "import subprocess, sys\nprint(subprocess.run(['echo', 'hi'], capture_output=True, text=True).stdout)\n"
        "print(subprocess.run([sys.executable, '-c', 'print(6 * 7)'], capture_output=True, text=True).stdout)\n",
        "hi\n\n42\n\n",
    ),
    Benign(
        "fork_and_pipe",
        "import os\nr, w = os.pipe()\nif os.fork() == 0:\n    os.write(w, b'child')\n    os._exit(3)\n"
        "print(os.read(r, 99), os.waitstatus_to_exitcode(os.wait()[1]))\n",
        "b'child' 3\n",
    ),
    Benign(
        "processes",
        "import multiprocessing as m\ndef f(x): return x * x\n"
        "if __name__ == '__main__':\n    with m.get_context('fork').Pool(2) as p: print(p.map(f, [1, 2, 3]))\n",
        "[1, 4, 9]\n",
    ),
    Benign(
        "shell",
        "echo one | tr a-z A-Z\nfor i in 1 2; do echo $i; done\nexit 4\n",
        "ONE\n1\n2\n",
        code=4,
        language="shell",
    ),
    Benign(
        "shell_reads",
        'read a\necho "got $a"\nsort -n\n',
        "got x\n1\n2\n10\n",
        stdin="x\n10\n2\n1\n",
        language="shell",
    ),
    Benign(
        "shell_copies",
        "echo x > a\nls -l . 2>&1 | wc -l\ncp -a a b && tar cf t.tar b && ls\n",
        "2\na\nb\nt.tar\n",
        language="shell",
    ),
    Benign(
        "shell_files",
        "mkdir -p d && echo hi > d/f && cp d/f g && ls -1 && grep -c h g && find . -type f | sort\n",
        "d\ng\n1\n./d/f\n./g\n",
        language="shell",
    ),
]
