#!/usr/bin/env python3
"""Makes math.bin: golden values of elementary functions for test_math, by Python's decimal module.

    python3 make_math.py [FOLDER]

Needs nothing beyond Python. Every value is computed with 60 digits or more, then rounded to binary64
once. The output is a function of this file alone (fixed seed).

math.bin, little-endian: three tables, each u32 n and n records
    exp     f64 x (a binary32 number), f64 e^x
    angles  f64 position, f64 frequency, f64 cos and f64 sin of their exact product
    pow     f64 base, f64 exponent, f64 base^exponent
"""
import decimal
import pathlib
import random
import struct
import sys
from decimal import Decimal

D = Decimal


def to_f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def pi():
    """Machin's formula, at the context's precision."""
    def arctan_inverse(n):
        term = total = D(1) / n
        k, square = 1, n * n
        while abs(term) > D(10) ** (-decimal.getcontext().prec - 2):
            term /= -square
            k += 2
            total += term / k
        return total
    return 4 * (4 * arctan_inverse(5) - arctan_inverse(239))


def cos_sin(x, half_pi):
    """By Taylor's series after taking off a multiple of pi/2."""
    k = (x / half_pi).to_integral_value()
    r = x - k * half_pi
    c, s, term, n = D(1), r, r, 1
    while abs(term) > D(10) ** -50:
        n += 1
        term *= r / n
        if n % 2 == 0:
            term = -term
            c += term
        else:
            s += term
    return [(c, s), (-s, c), (-c, -s), (s, -c)][int(k) % 4]


def exp_table(rng):
    xs = [0.0, 1.0, -1.0, 1e-8, -1e-8, 2.0**-126, 0.34657359, 0.34657362, -0.34657359, -0.34657362,
          87.0, -87.0, 88.0, 86.999992, -86.999992, 88.5, 100.0, 3.0e38]
    xs += [rng.uniform(-87, 88) for _ in range(3000)]
    xs += [rng.uniform(-1, 1) for _ in range(1500)]
    xs += [rng.choice((-1, 1)) * 2.0 ** rng.uniform(-30, 0) for _ in range(500)]
    for x in map(to_f32, xs):
        yield x, float(min(D(x).exp(), D("1e300")) if x < 600 else D("1e300"))


def angle_table(rng):
    half_pi = pi() / 2
    positions = [0, 1, 2, 3, 63, 64, 1000, 4095, 131071, 1 << 20, (1 << 24) - 1, (1 << 31) - 1]
    positions += [rng.randrange(1 << rng.randrange(1, 32)) for _ in range(500)]
    for p in positions:
        for base, d in ((10000.0, 64), (1000000.0, 256)):
            f = base ** (-2.0 * rng.randrange(d // 2) / d)
            for f in (f, 1.0):
                c, s = cos_sin(D(p) * D(f), half_pi)
                yield float(p), f, float(c), float(s)


def pow_table(rng):
    for base in (10000.0, 1000000.0, 500000.0, 130000.0, 1.0, 2.0, 1.4142135623730951,
                 0.5, 1e-9, 1e9, to_f32(8e6)):
        for d in (2, 16, 64, 80, 128, 256):
            for i in range(0, d // 2, max(1, d // 16)):
                e = -2.0 * i / d
                yield base, e, float((D(base).ln() * D(e)).exp())
    for _ in range(500):
        base, e = 10 ** rng.uniform(-9, 9), rng.uniform(-1.9, 1.9)  # |e ln base| < 40
        yield base, e, float((D(base).ln() * D(e)).exp())


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    decimal.getcontext().prec = 80
    rng = random.Random(20240611)
    with open(folder / "math.bin", "wb") as out:
        for table in (exp_table, angle_table, pow_table):
            rows = list(table(rng))
            out.write(struct.pack("<I", len(rows)))
            for row in rows:
                out.write(struct.pack(f"<{len(row)}d", *row))


if __name__ == "__main__":
    main()
