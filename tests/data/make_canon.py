#!/usr/bin/env python3
"""Makes canon.bin: the bits of the class's elementary functions, from docs/numerics.md, section 2.

    python3 make_canon.py [FOLDER]

A second implementation, in exact fractions that are rounded where the page says so. Needs nothing
beyond Python. The output is a function of this file alone (fixed seed).

canon.bin, little-endian: three tables, each u32 n and n records
    exp     f32 x, f32 result
    angles  f64 position, f64 frequency, f32 cos, f32 sin
    pow     f64 base, f64 exponent, f64 result
"""
import math
import pathlib
import random
import struct
import sys
from fractions import Fraction as F


def to_f32(x):
    """A fraction or float to binary32, rounded once, to nearest even (normal numbers and zero)."""
    x = F(x)
    if x == 0:
        return 0.0
    e = math.floor(math.log2(abs(x))) if abs(x) > F(1, 1 << 1000) else -1000
    while abs(x) >= F(2) ** (e + 1):
        e += 1
    while abs(x) < F(2) ** e:
        e -= 1
    unit = F(2) ** (max(e, -126) - 23)
    return float(round(x / unit) * unit)  # round() of a Fraction: ties to even


def fma32(a, b, c):
    return to_f32(F(a) * F(b) + F(c))


def fma64(a, b, c):
    return float(F(a) * F(b) + F(c))  # int / int of Python rounds once


def exp(x):
    c = [to_f32(F(t)) for t in ("1.9875691500e-4", "1.3981999507e-3", "8.3334519073e-3",
                                "4.1665795894e-2", "1.6666665459e-1", "5.0000001201e-1")]
    y = min(x, 88.0)
    n = round(F(to_f32(F(y) * F(to_f32(F("1.44269504"))))))
    r = fma32(n, to_f32(F("-0.693359375")), y)
    r = fma32(n, to_f32(F("2.12194440e-4")), r)
    p = c[0]
    for t in c[1:]:
        p = fma32(p, r, t)
    e = to_f32(F(fma32(p, to_f32(F(r) * F(r)), r)) + 1)
    return 0.0 if x < -87.0 else to_f32(F(e) * F(2) ** n)


SIN = [1.58969099521155010221e-10, -2.50507602534068634195e-08, 2.75573137070700676789e-06,
       -1.98412698298579493134e-04, 8.33333333332248946124e-03, -1.66666666666666324348e-01]
COS = [-1.13596475577881948265e-11, 2.08757232129817482790e-09, -2.75573143513906633035e-07,
       2.48015872894767294178e-05, -1.38888888888741095749e-03, 4.16666666666666019037e-02]


def angles(t, f):
    x = t * f
    k = round(F(x * 0.63661977236758134308))
    r = fma64(k, -1.57079632679489655800, x)
    r = fma64(k, -6.12323399573676603587e-17, r)
    z = r * r
    p, q = SIN[0], COS[0]
    for a, b in zip(SIN[1:], COS[1:]):
        p, q = fma64(p, z, a), fma64(q, z, b)
    s = fma64(p * z, r, r)
    c = fma64(q * z, z, fma64(-0.5, z, 1.0))
    c, s = [(c, s), (-s, c), (-c, -s), (s, -c)][k % 4]
    return to_f32(c), to_f32(s)


def power(b, e):
    m, g = math.frexp(b)
    m, g = 2 * m, g - 1
    if m > 1.41421356237309514547:
        m, g = m / 2, g + 1
    s = (m - 1.0) / (m + 1.0)
    z, p = s * s, 0.0
    for k in range(12, -1, -1):
        p = fma64(p, z, 2.0 / (2 * k + 1))
    x = e * fma64(g, 0.69314718055994528623, p * s)
    n = round(F(x * 1.44269504088896338700))
    r = fma64(n, -6.93147180559945286227e-01, x)
    r = fma64(n, -2.31904681384629955842e-17, r)
    t = [1.0]
    for k in range(1, 16):
        t.append(t[-1] / k)
    q = t[15]
    for k in range(14, -1, -1):
        q = fma64(q, r, t[k])
    return q * 2.0**n


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    rng = random.Random(20240613)
    xs = [0.0, 1.0, -1.0, 88.0, 90.0, -87.0, -87.00001, -1000.0, 0.5, 2.0**-30]
    xs = [to_f32(x) for x in xs + [rng.uniform(-88, 89) for _ in range(1500)]]
    positions = [0, 1, 63, 64, 131071, (1 << 24) - 1, (1 << 31) - 1]
    positions += [rng.randrange(1 << rng.randrange(1, 31)) for _ in range(800)]
    bases = [1e4, 1e6, 5e5, 1.0, 2.0, 0.7, to_f32(8e6)]
    with open(folder / "canon.bin", "wb") as out:
        out.write(struct.pack("<I", len(xs)))
        for x in xs:
            out.write(struct.pack("<2f", x, exp(x)))
        out.write(struct.pack("<I", len(positions)))
        for t in positions:
            f = 10000.0 ** (-rng.random())
            out.write(struct.pack("<2d2f", t, f, *angles(float(t), f)))
        cases = [(b, -2.0 * i / 128) for b in bases for i in range(64)]
        out.write(struct.pack("<I", len(cases)))
        for b, e in cases:
            out.write(struct.pack("<3d", b, e, power(b, e)))


if __name__ == "__main__":
    main()
