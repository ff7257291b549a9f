#!/usr/bin/env python3
"""Compares regular expressions with those of Python, on random patterns and texts.

    regular_compare.py --driver BUILD/tests/regular_driver [--random N] [--seed S]
                       [--characters]

The patterns keep to what ECMA-262 and Python's re read alike; `$` is written \\Z for Python, since
its own also holds before a last line end. --characters: every character is asked for \\d \\w \\s and,
where both know the same Unicode, for \\p{...} against unicodedata.
"""
import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import unicodedata
import warnings

LETTERS = "ab01_ -.\n\u00e9\u0416\u65e5\U0001f600"  # of texts
ESCAPED = "-.^$*+?()[]{}|\\/"
CLASS_ESCAPES = ["\\d", "\\w", "\\s", "\\D", "\\W", "\\S"]
PYTHON_SPACE = "\t\n\\x0b\\f\\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
DOT = "[^\\n\\r\\u2028\\u2029]"


class Driver:
    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        encoding="utf-8")

    def ask(self, pattern, texts, is_whole):
        request = {"pattern": pattern, "is_whole": is_whole, "texts": texts}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


# ---- random patterns: each as (for us, for Python) -------------------------------------------------


def both(text):
    return text, text


def python_class_escape(e):
    """What stands in a class of Python for \\d... of ECMA-262."""
    return {"\\s": PYTHON_SPACE, "\\S": None}.get(e, e)


def random_char(r):
    kind = r.randrange(8)
    if kind == 0:
        return both("\\" + r.choice(ESCAPED))
    c = r.choice(LETTERS)
    if kind == 1:
        return ("\\u{%x}" % ord(c), re.escape(c))
    if kind == 2 and ord(c) < 256:
        return both("\\x%02x" % ord(c))
    if kind == 3:
        units = c.encode("utf-16-be")
        return ("".join("\\u%02x%02x" % tuple(units[i:i + 2]) for i in range(0, len(units), 2)),
                re.escape(c))
    if kind == 4 and c in "\n":
        return both("\\n")
    return ("\\" + c if c in ESCAPED else c), re.escape(c)


def random_class(r):
    ours, python = "", ""
    for _ in range(r.randrange(1, 4)):
        kind = r.randrange(4)
        if kind == 0:
            escape = r.choice(CLASS_ESCAPES)
            if python_class_escape(escape) is None:
                continue
            ours += escape
            python += python_class_escape(escape)
        elif kind == 1:
            low, high = sorted(r.choice("abcxyz0149\u00e9\u0416\u65e5\U0001f600") for _ in range(2))
            ours += low + "-" + high
            python += low + "-" + high
        else:
            a, b = random_char(r)
            ours += a
            python += b
    if not ours:
        return both("[a]")
    inverted = r.choice(["", "", "^"])
    return "[" + inverted + ours + "]", "[" + inverted + python + "]"


def random_atom(r, depth):
    kind = r.randrange(10)
    if kind < 4 or (depth == 0 and kind >= 7):
        return random_char(r)
    if kind == 4:
        return ".", DOT
    if kind == 5:
        escape = r.choice(CLASS_ESCAPES)
        return escape, {"\\s": "[" + PYTHON_SPACE + "]",
                        "\\S": "[^" + PYTHON_SPACE + "]"}.get(escape, escape)
    if kind == 6:
        return random_class(r)
    ours, python = random_choice(r, depth - 1)
    kind = r.choice(["(", "(?:", "(?<n%d>" % r.randrange(10 ** 9)])
    return kind + ours + ")", "(?:" + python + ")"


def random_term(r, depth):
    if r.randrange(14) == 0:
        return r.choice([("^", "\\A"), ("$", "\\Z")])
    ours, python = random_atom(r, depth)
    count = ""
    if r.randrange(3) == 0:
        low = r.randrange(4)
        count = r.choice(["*", "+", "?", "{%d}" % low, "{%d,}" % low,
                          "{%d,%d}" % (low, low + r.randrange(4))]) + r.choice(["", "", "?"])
    return ours + count, python + count


def join(parts, between):
    return tuple(between.join(p[i] for p in parts) for i in range(2))


def random_choice(r, depth):
    return join([join([random_term(r, depth) for _ in range(r.randrange(5))], "")
                 for _ in range(r.choice([1, 1, 1, 2, 3]))], "|")


def random_texts(r):
    return ["".join(r.choice(LETTERS) for _ in range(r.choice([0, 1, 2, 3, 4, 6, 9])))
            for _ in range(30)]


class TooSlow(Exception):
    """Python's re tries all ways to match: on some patterns, for years."""


def give_up(number, frame):
    raise TooSlow


def find_all(find, texts):
    """For each text, is there a match? None: it takes Python too long to tell."""
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        return [find(text) is not None for text in texts]
    except TooSlow:
        return None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def compare_random(driver, n_random, seed):
    r = random.Random(seed)
    signal.signal(signal.SIGALRM, give_up)
    n_matches = n_texts = n_refused = n_wrong = 0
    slowest = (0, "")
    for i in range(n_random):
        ours, python = random_choice(r, 3)
        is_whole = r.random() < 0.5
        texts = random_texts(r)
        compiled = re.compile(python, re.ASCII)
        find = compiled.fullmatch if is_whole else compiled.search
        reply = driver.ask(ours, texts, is_whole)
        slowest = max(slowest, (reply["ms"], ours))
        if "error" in reply:
            n_refused += 1
            if reply["code"] != "LULL_EFULL":
                print("refused: %r: %s" % (ours, reply["error"]))
                n_wrong += 1
            continue
        for text, matches, expected in zip(texts, reply["matches"], find_all(find, texts) or []):
            n_texts += 1
            n_matches += expected
            if matches != expected:
                print("pattern %d: %r (Python: %r) %s %r: %s, not %s" % (
                    i, ours, python, "is" if is_whole else "in", text, matches, expected))
                n_wrong += 1
    print("%d patterns, %d texts, %d of them match, %d patterns too large; slowest %.1f ms: %r" % (
        n_random, n_texts, n_matches, n_refused, *slowest))
    few = min(n_matches, n_texts - n_matches) < n_texts // 20 or n_refused > n_random // 50
    if few:
        print("the patterns tell too little")
    return n_wrong == 0 and not few


# ---- every character -------------------------------------------------------------------------------


def compare_characters(driver):
    everything = [chr(c) for c in range(0x110000) if not 0xd800 <= c < 0xe000]
    asked = {escape: re.compile({"\\s": "[" + PYTHON_SPACE + "]",
                                 "\\S": "[^" + PYTHON_SPACE + "]"}.get(escape, escape),
                                re.ASCII).fullmatch for escape in CLASS_ESCAPES}
    asked["."] = re.compile(DOT).fullmatch
    # The two may know different versions of Unicode: what one calls unassigned is not compared.
    for category in ("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp "
                     "Cc Cf Co").split():
        asked["\\p{%s}" % category] = lambda c, k=category: unicodedata.category(c) == k
    for group, name in [("L", "Letter"), ("M", "Mark"), ("N", "Number"), ("P", "Punctuation"),
                        ("S", "Symbol"), ("Z", "Separator")]:
        asked["\\p{%s}" % name] = lambda c, k=group: unicodedata.category(c)[0] == k
        asked["\\P{gc=%s}" % group] = lambda c, k=group: unicodedata.category(c)[0] != k
    unknown = driver.ask("\\p{Cn}", everything, True)["matches"]
    is_ok = True
    for pattern, is_in in asked.items():
        reply = driver.ask(pattern, everything, True)
        if "error" in reply:
            print(pattern, reply["error"])
            is_ok = False
            continue
        wrong = [c for c, matches, skip in zip(everything, reply["matches"], unknown)
                 if matches != bool(is_in(c)) and not skip and unicodedata.category(c) != "Cn"]
        # A few characters change their category from one version to the next.
        if len(wrong) > (8 if "{" in pattern else 0):
            print("%s: %d characters, among them U+%04X" % (pattern, len(wrong), ord(wrong[0])))
            is_ok = False
    print("%d properties of %d characters" % (len(asked), len(everything)))
    return is_ok


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    parser.add_argument("--random", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--characters", action="store_true")
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # Python's about sets of sets to come
    print("seed", args.seed)
    driver = Driver(args.driver)
    is_ok = compare_random(driver, args.random, args.seed)
    if args.characters:
        is_ok = compare_characters(driver) and is_ok
    return 0 if is_ok else 1


if __name__ == "__main__":
    sys.exit(main())
