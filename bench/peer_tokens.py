"""What the drivers of the peers share: the names of tests, and the tokens that they evaluate."""
import re

REFUSED = 3  # exit code: the program does not take this model


def parse_test(test):
    """(kind, n, depth): pp<n> reads n tokens at once, tg<n> one by one; @depth after so many."""
    kind, n, depth = re.fullmatch(r"(pp|tg)(\d+)(?:@(\d+))?", test).groups()
    return kind, int(n), int(depth or 0)


def any_tokens(n, n_vocab):
    """The arbitrary ids that lull bench evaluates."""
    random, ids = 1, []
    for _ in range(n):
        random = (random * 1664525 + 1013904223) & 0xFFFFFFFF
        ids.append((random >> 8) % n_vocab)
    return ids
