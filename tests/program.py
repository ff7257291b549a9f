"""What the tests of the whole program share: running it, its .npy output, tiny and real models.

Real models come from the environment, LULL_TEST_SMOLLM2 and LULL_TEST_GEMMA3 (paths of what
scripts/fetch-model fetches). Nothing here needs more than Python's standard library.
"""
import array
import ast
import hashlib
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

TESTS = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(TESTS))
import gguf_writer  # noqa: E402

TEXTS = TESTS / "data/texts"
SKIPPED = 77  # the exit code that ctest knows as "not run"
SANITIZER_EXIT = 99


@dataclass
class Real:
    """One of the two real models."""

    name: str  # of scripts/fetch-model, and of its fixtures
    path: str
    n_vocab: int

    def fixtures(self):
        return json.loads((TESTS / f"oracle/fixtures/{self.name}.json").read_text())


def real_models():
    """Those that the environment names."""
    found = []
    for name, variable, n_vocab in (("smollm2-135m", "LULL_TEST_SMOLLM2", 49152),
                                    ("gemma3-270m", "LULL_TEST_GEMMA3", 262144)):
        if os.environ.get(variable):
            found.append(Real(name, os.environ[variable], n_vocab))
    return found


def tiny_model(folder, arch, template=None, **options):
    """The path of a valid model with random weights, written to folder; template: a name and a chat
    template instead of its own."""
    name, text = template or (arch, None)
    path = pathlib.Path(folder) / f"tiny-{name}.gguf"
    file = gguf_writer.model(arch, **options)
    if text:
        file.kv["tokenizer.chat_template"] = ("str", text)
    path.write_bytes(file.to_bytes())
    return str(path)


class Lull:
    """The program, with an environment of its own: no LULL_ variables but those given here."""

    def __init__(self, path, cache=None, **env):
        self.path = os.path.abspath(path)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("LULL_")}
        self.env["ASAN_OPTIONS"] = f"exitcode={SANITIZER_EXIT}"
        self.env["UBSAN_OPTIONS"] = f"exitcode={SANITIZER_EXIT}:halt_on_error=1"
        self.env["LULL_HOME"] = "/nonexistent/lull"  # not the user's own states
        if cache or os.environ.get("LULL_CACHE"):
            self.env["LULL_CACHE"] = str(cache or os.environ["LULL_CACHE"])
        self.env.update(env)

    def with_env(self, **env):
        other = Lull(self.path)
        other.env = {**self.env, **env}
        return other

    def run(self, *args, stdin=b"", timeout=120):
        """Exit code, standard output and standard error (bytes) as a CompletedProcess."""
        if isinstance(stdin, str):
            stdin = stdin.encode()
        return subprocess.run([self.path, *map(str, args)], input=stdin, capture_output=True,
                              env=self.env, timeout=timeout)

    def ok(self, *args, **options):
        """Standard output of a run that must succeed."""
        done = self.run(*args, **options)
        if done.returncode != 0:
            raise AssertionError(f"lull {' '.join(map(str, args))[:200]}: exit code "
                                 f"{done.returncode}: {done.stderr.decode(errors='replace')}")
        return done.stdout

    def json(self, *args, **options):
        return json.loads(self.ok(*args, "--json", **options))

    def tokens(self, model, text, *flags):
        return self.json("tokenize", model, "-f", "-", *flags, stdin=text)

    def rows(self, *args):
        """The shape that `lull logits ARGS` gives, and an iterator over its rows (array of float).
        They come through a pipe: a real model's would fill a disk."""
        process = subprocess.Popen([self.path, "logits", *map(str, args), "-o", "/dev/stdout"],
                                   env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        shape = npy_shape(process.stdout)

        def read():
            for _ in range(shape[0]):
                row = array.array("f")
                row.frombytes(process.stdout.read(4 * shape[1]))
                yield row
            rest = process.stdout.read()
            process.stdout.close()
            if process.wait() != 0 or rest:
                raise AssertionError(f"lull logits: exit code {process.returncode}, "
                                     f"{len(rest)} bytes too many")

        return shape, read()

    def logits_digest(self, *args):
        """BLAKE2b of all that `lull logits ARGS` writes, and the number of bytes."""
        process = subprocess.Popen([self.path, "logits", *map(str, args), "-o", "/dev/stdout"],
                                   env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        digest, n_bytes = hashlib.blake2b(digest_size=16), 0
        while piece := process.stdout.read(1 << 20):
            digest.update(piece)
            n_bytes += len(piece)
        process.stdout.close()
        if process.wait() != 0:
            raise AssertionError(f"lull logits {' '.join(map(str, args))[:200]}: exit code "
                                 f"{process.returncode}")
        return digest.hexdigest(), n_bytes


def npy_shape(stream):
    """The shape in the header of a NumPy file, format 1.0, of f32 in C order (numpy.lib.format)."""
    magic = stream.read(10)
    if magic[:8] != b"\x93NUMPY\x01\x00":
        raise AssertionError(f"no NumPy file of format 1.0: {magic!r}")
    n_bytes = struct.unpack("<H", magic[8:])[0]
    text = stream.read(n_bytes)
    header = ast.literal_eval(text.decode("latin1"))
    if (10 + n_bytes) % 64 or text[-1:] != b"\n":
        raise AssertionError("the data does not begin at a multiple of 64 bytes")
    if header["descr"] != "<f4" or header["fortran_order"] or set(header) != {
            "descr", "fortran_order", "shape"}:
        raise AssertionError(f"not float32 in C order: {header}")
    return header["shape"]


def read_npy(path):
    """Shape and rows (array of float each) of a file of `lull logits`."""
    with open(path, "rb") as f:
        shape = npy_shape(f)
        rows = []
        for _ in range(shape[0]):
            row = array.array("f")
            row.frombytes(f.read(4 * shape[1]))
            rows.append(row)
        if f.read():
            raise AssertionError(f"{path} has bytes after its last row")
    return shape, rows


class Folder:
    """A temporary folder, gone at the end of a with."""

    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="lull-test-"))
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def terminal_env(lull, folder):
    """An environment for it: no history but in folder, and no leaks of the library for line editing."""
    env = dict(lull.env, TERM="xterm", XDG_STATE_HOME=str(folder / "state"))
    # Frames of libraries are seen, and so can be suppressed, with the slow unwinder alone.
    env["ASAN_OPTIONS"] += ":fast_unwind_on_malloc=0"
    env["LSAN_OPTIONS"] = f"suppressions={TESTS / 'lsan.supp'}:print_suppressions=0"
    return env


class Terminal:
    """A program at a terminal, and what it has written there."""

    def __init__(self, args, env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execve(args[0], args, env)
            finally:
                os._exit(127)
        self.raw = b""
        self.n_done = 0  # characters that waits have gone past, without escape sequences

    @property
    def seen(self):
        return re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", self.raw)[self.n_done:]

    def read(self, end):
        """More of what it writes; False when nothing came until then, or it has ended."""
        if not select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
            return False
        try:
            self.raw += os.read(self.fd, 1 << 16)
        except OSError:
            return False
        return True

    def type(self, text):
        os.write(self.fd, text.encode())

    def wait_for(self, text, timeout=20):
        """Read until text has appeared after what the last call waited for."""
        end = time.monotonic() + timeout
        while text.encode() not in self.seen:
            if not self.read(end):
                raise AssertionError(f"no {text!r} on the terminal: {self.seen[-500:]!r}")
        self.n_done += self.seen.index(text.encode()) + len(text.encode())

    def wait_for_more(self, n_bytes, timeout=20):
        end = time.monotonic() + timeout
        while len(self.seen) < n_bytes:
            if not self.read(end):
                raise AssertionError(f"the terminal stays silent: {self.seen!r}")

    def exit_code(self, timeout=60):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.read(time.monotonic() + 0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError(f"the program does not end: {self.seen[-500:]!r}")
