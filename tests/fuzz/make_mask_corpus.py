#!/usr/bin/env python3
"""Makes corpus/regex, patterns with texts for fuzz_regex.c, and corpus/gbnf, grammars.

    python3 make_mask_corpus.py [FOLDER]

The output is a function of this file. Inputs that a fuzzer found are kept beside these under names
that begin with "found-".
"""
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent

PATTERNS = {
    "words": (r"^(foo|ba[rz])+$", "foobar"),
    "date": (r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2})?$", "2024-12-31"),
    "mail": (r"^[\w.+-]+@([\w-]+\.)+[a-z]{2,}$", "a.b@c.de"),
    "escapes": (r"\t\n\v\f\r\0\cA\x41\u0042\u{43}\-\/[\b\]\\^-]", "x"),
    "pairs": (r"\ud83d\ude00|[\u{1F600}-\u{1F64F}]|\ud83d", "\U0001f601"),
    "classes": (r"[^\d\s][\W_][\S][^][]|[a-]", "a-b"),
    "properties": (r"\p{Lu}\P{Nd}[\p{sc=Greek}\p{Letter}]", "A\u03b1b"),
    "lazy": (r"a*?b+?c??d{1,2}?e{2,}?", "abdee"),
    "groups": (r"(?:a|(?<n>b))(c(d(e)?)*)+", "acd"),
    "anchors": (r"^a|b$|(^|-)c($|-)|$^", "x-c"),
    "counts": (r"(a{2,3}){4}|(b?){7}|.{0,100}", "aaaaaaaa"),
    "hostile": (r"(a{1000}){1000}|[01]*1[01]{30}", "1"),
    "literal-braces": (r'{"a": [1]}]', '{"a": 1}]'),
    "look": (r"a(?=b)(?!c)(?<=d)(?<!e)", "a"),
    "back": (r"(a)\1\k<n>\b\B", "aa"),
    "errors": (r"[z-a]{3,2}**(?P<x>\Z\u{110000}", ""),
    "open": ("(((a|b", "a"),
    "unicode": ("^\u00e9+\u65e5?\U0001f600{2}$", "\u00e9\U0001f600\U0001f600"),
    "empty": ("", ""),
}

GRAMMARS = {
    "list": 'root ::= "[" item ("," item)* "]"\nitem ::= [0-9]{1,3} | "\\"" [^"\\x00-\\x1f]* "\\""\n',
    "sums": 'root ::= sum\nsum ::= product ([+-] product)*\nproduct ::= factor ([*/] factor)*\n'
            'factor ::= number | "(" sum ")"\nnumber ::= "-"? [0-9]+ ("." [0-9]+)?\n',
    "lines": 'root ::= ( # comment\n  "a"\n  | b\n)+ |\n  "c"\r\nb ::=\n  [^\\n]{2,} .\n# end',
    "escapes": 'root ::= "\\n\\r\\t\\\\\\"\\[\\]\\-\\x41\\u65e5\\U0001F600" [\\]\\-a-z\\u0400-\\u04ff] []',
    "empty-options": 'root ::= | () | "" |',
    "tokens": "root ::= <think> !<[1000]>",
    "undefined": "root ::= a b\na ::= root",
    "twice": 'root ::= "a"\nroot ::= "b"',
    "open": 'root ::= (("a" | [b',
    "counts": 'root ::= "a"{2}{3,}{4,5}*+?',
    "bad-count": 'root ::= "a"{5,4} {99999999999}',
    "bytes": b'root ::= "\xff\xc3" [\xed\xa0\x80]\x00',
    "unicode": "root ::= [\u3041-\u309f]+ \"\u65e5\" # \u00e9\n",
}


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "corpus"
    for name in ("regex", "gbnf"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, (pattern, text) in PATTERNS.items():
        data = pattern.encode()
        assert len(data) < 128
        for is_whole in (0, 1):
            (folder / "regex" / ("%s-%d" % (name, is_whole))).write_bytes(
                bytes([len(data) << 1 | is_whole]) + data + text.encode())
    (folder / "regex" / "damaged").write_bytes(b"\x08a\xffb\xc3x")
    (folder / "regex" / "damaged-text").write_bytes(b"\x05.*\xed\xa0\x80")
    for name, grammar in GRAMMARS.items():
        data = grammar if isinstance(grammar, bytes) else grammar.encode()
        (folder / "gbnf" / name).write_bytes(data)


if __name__ == "__main__":
    main()
