"""Random templates for jinja_compare.py: make_cases(seed, n). Most are well typed, so that they get
far; a few operands of a wrong type keep the failures honest. What Jinja2 gives as a generator goes
through |list, and numbers stay small: the interpreter has 64-bit integers."""
import random
import re

VARS = {
    "i": 7, "neg": -3, "zero": 0, "big": 12345, "f": 2.5, "tiny": 1e-7, "huge": 1e17,
    "third": 1 / 3, "t": True, "no": False, "nil": None,
    "s": "hello World", "empty": "", "pad": "  \t padded\n ", "quote": "it's", "both": "it's \"x\" \\ \n",
    "uni": "Grüße 世界 🦙 éÉ", "num": "42", "html": "<a href=\"x\">&'</a>", "lines": "one\ntwo\n\n three",
    "words": "b,a,,c", "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "le": [], "nested": [[1, 2], [3], []],
    "mixed": [1, "a", None, True, 2.0, [1], {"k": "v"}],
    "d": {"a": 1, "b": 2, "c": 3}, "de": {}, "deep": {"x": {"y": [1, {"z": "end"}]}, "items": "mine"},
    "rows": [{"name": "bob", "n": 3, "tag": None}, {"name": "Al", "n": 1, "tag": "x"},
             {"name": "cy", "n": 2}],
}
# Expressions by type. <kind> is an expression of that type, <'> a string literal, <n> a small
# integer literal, <slice> what stands between the brackets, {a¦b} one of a and b.
NAMES = {
    "int": "i neg zero big t no", "float": "f tiny huge third", "bool": "t no", "dict": "d de deep",
    "str": "s empty pad quote both uni num html lines words", "none": "nil", "undef": "missing",
    "list": "l ls le nested mixed rows",
}
LITERALS = {
    "int": "0 1 2 3 5 10 17 100 1 2 3 4 1_000 0x1F 0b101 0o17 True".split(),
    "float": "1.5 0.1 2.0 1e3 3.14159 1.0e-5 100.25 1e16".split(),
    "str": ["'a'", "'B c'", '"it\'s"', "''", "'x\\ny'", "'\\u00e9\\\\'", "'%s'", "'é世'", "' '", "','",
            "'l'", "'{}'", "'a' 'b'", "'\\t'", "'Zz'"],
    "bool": "true false True False".split(),
    "list": ["[]", "[1, 2, 3]", "['a', 'b']", "(1, 2)", "[1, 'a', none]", "()", "(1,)",
             "[[1, 2], [3, 4]]", "['x', 'X', 'y']", "[2.5, 1, true]"],
    "dict": ["{}", "{'a': 1}", "{'b': [1, 2], 'a': 'x'}", "{1: 2, 'k': none}", "{'q': \"it's\"}",
             "{'n': {'m': 1.5}}"],
    "none": ["none", "None"],
    "undef": ["missing", "d.nothing", "l[99]"],
}
GRAMMAR = {
    "int": [
        "(<int> {+¦-¦*} <int>)", "(<int> {+¦-¦*} <int>)", "(<int> {//¦%} {3¦-2¦<int>})",
        "<int> {+¦-¦*} <int> {+¦-¦*} <int>", "({2¦3¦-2¦i} ** {0¦1¦2¦3})", "(-<int>)", "(+<int>)",
        "(<list>|{length¦count})", "(<str>|{length¦wordcount})", "(<int>|abs)",
        "({<str>¦f¦third¦-2.7¦<int>}|int{¦(5)¦(default=9)¦(0, 16)¦(0, base=2)})",
        "(l|{sum¦max¦min¦first¦last})", "<str>.{count¦find¦rfind}(<'>)",
        "(rows|sum(attribute='n'{¦, start=10}))", "d.{a¦b¦c}", "d.get({'a'¦'zz'}, <int>)",
        "l[{0¦1¦-1¦-2}]", "rows[{0¦1¦-1}].n", "ls.index({'A'¦'c'¦'c'¦'b'})", "l.count(<int>)",
    ],
    "float": [
        "(<float> {+¦-¦*} {<int>¦<float>})", "(<float> {/¦//¦%} {3¦0.5¦-2¦<float>})",
        "(<int> / {2¦7¦-3¦<int>})", "({<int>¦<float>¦<bool>}|float)", "(<str>|float{¦(1.5)})",
        "({<int>¦<float>}|round{¦(1)¦(2)¦(0)¦(-1)¦(1, 'floor')¦(method='ceil')¦(-1, 'ceil')})",
        "(-<float>)", "(<float>|abs)", "({2¦1.5} ** {-1¦0.5¦-2¦2.0})",
    ],
    "str": [
        "(<str> + <str>)", "(<str> + <str>)", "(<any> ~ <any>{¦ ~ <any>})", "(<any> ~ <str>)",
        "(<str>|{upper¦lower¦title¦capitalize¦trim¦string¦reverse¦first¦last})", "(<str>|trim(<'>))",
        "(<str>|replace(<'>, <'>{¦, 1¦, count=2}))", "(<any>|replace(<'>, <'>))",
        "(<str>|indent({¦2¦2, true¦width=3, first=True¦4, false, true¦'> '}))",
        "(<str>|center({20¦5¦11¦width=30¦}))", "(<list>|join({¦<'>¦d=<'>}))",
        "(rows|join(<'>, attribute='name'))", "(<any>|string)", "(<any>|{upper¦trim¦title¦lower})",
        "<str>[<slice>]", "<str>[<slice>]", "s[<n>]", "<str>.{upper¦lower¦title¦capitalize}()",
        "<str>.{strip¦lstrip¦rstrip}({¦none¦<'>})", "<str>.{removeprefix¦removesuffix}(<'>)",
        "<str>.replace(<'>, <'>{¦, 1})", "<'>.join({ls¦[<str>, <str>]¦<str>})",
        "({<any>¦<dict>¦<list>}|tojson{¦(indent=2)¦(indent=4)¦(sort_keys=true)¦(true)¦(indent=0)"
        "¦(ensure_ascii=true)¦(separators=(',', ':'))¦(indent=none)¦(indent=3, sort_keys=true)"
        "¦(indent='>')})",
        "({'%s and %s'¦'%d|%5s'¦'%r %-4d.'¦'%05.2f %x'¦'%3d%% %s'}|format({<any>¦<int>}, <int>))",
        "('%s:%s' % (<any>, <any>))", "('%s!' % <any>)", "('%5.1f|%-8s|' % (<float>, <str>))",
        "(<str> * {0¦1¦2¦3¦-1})", "'{} {}'.format(<any>, <any>)", "'{1}-{0}{{}}'.format(<any>, <any>)",
        "<str>.split({¦<'>})[{0¦-1}]", "rows[{0¦1¦2}].{name¦tag¦nothing}", "d|string", "<call>",
        "(missing.x if false else <str>)", "(<str>|default('none'))", "(<dict>|tojson|length ~ 'x')",
    ],
    "bool": [
        "(<int> {==¦!=¦<¦<=¦>¦>=} {<int>¦<float>})", "(<str> {==¦!=¦<¦<=¦>¦>=} <str>)",
        "(<list> {==¦!=¦<} <list>)", "(<int> {==¦<¦>=} <int> {!=¦<¦<=} <int>)", "(not <any>)",
        "(<any> {==¦!=} <any>)", "(<str> {in¦not in} {s¦ls¦d¦<str>})", "(<any> {in¦not in} <list>)",
        "(<any> is {¦not }{defined¦undefined¦none¦boolean¦true¦false¦integer¦float¦number¦string"
        "¦mapping¦sequence¦iterable¦callable¦escaped¦upper¦lower})",
        "(<any> is {¦not }{defined¦none¦string¦mapping¦iterable¦sequence})", "(<str> is {filter¦test})",
        "(<int> is {¦not }{odd¦even¦divisibleby 3¦divisibleby(2)¦eq 7¦ne(1)¦gt 3¦lt 4¦ge 7¦le(2)"
        "¦equalto 1¦sameas 7¦in [7, 1]¦greaterthan 2¦lessthan(9)})",
        "<str>.{startswith¦endswith}(<'>)", "<str>.startswith(('h', <'>))",
        "<str>.{isdigit¦isupper¦islower¦isspace¦isalpha¦isalnum}()", "(<bool> {and¦or} <bool>)",
        "(<any> and <any>)", "not <bool>",
    ],
    "list": [
        "[<any>, <any>]", "[<any>]", "[<int>, <str>, <float>]", "(<any>, <any>)", "(<list> + <list>)",
        "(range({3¦0¦1, 4¦5, 0, -2¦0, 7, 3¦i})|list)", "<list>[<slice>]", "<list>[<slice>]",
        "(<list>|{reverse¦map('string')¦select¦reject¦select('string')¦reject('none')}|list)",
        "({l¦ls¦le¦ls}|unique{¦(true)}|list)", "(<list>|list)",
        "({l¦ls¦le¦ls}|sort{¦(true)¦(reverse=true)¦(case_sensitive=true)¦(false, true)})",
        "(<list>|batch({2¦1¦3, '-'})|list)", "(<list>|slice({2¦3, '-'})|list)",
        "(rows|map(attribute='{name¦n¦tag¦no.x}'{¦, default='?'})|list)", "(<str>|list)",
        "(rows|{selectattr¦rejectattr}('{n¦tag¦name}'{¦, 'defined'¦, 'eq', 3¦, 'string'})|list)",
        "<str>.{split¦rsplit}({¦<'>¦<'>, 1¦none, 1¦<'>, 0})", "<str>.{splitlines()¦splitlines(true)}",
        "<str>.{partition¦rpartition}(' ')", "(<dict>|{list¦items|list})",
        "({d¦rows[0]¦dict(B=1, a=2)}|dictsort{¦(reverse=true)¦(true)})", "(<dict>.{items¦keys¦values}()|list)",
        "(d|dictsort({by='value'¦true, 'key'}))", "(rows|sort(attribute='{n¦name}'{¦, reverse=true}))",
        "(<list> * {0¦1¦2})", "(rows|unique(attribute='n')|list)", "(l|map('{string¦float¦abs}')|list)",
        "(rows|groupby('n')|map('list')|list)", "(ls|map('upper')|list)",
        "(nested|map('{length¦first¦join}')|list)", "(ls|map('{replace', 'a', 'b'¦center', 5¦default', 1})|list)",
    ],
    "dict": [
        "{'a': <any>, 'b': <any>}", "{<'>: <any>}", "{1: <any>, 'items': <any>}", "{none: <any>}",
        "dict({¦d, ¦de, }a=<any>)", "dict([('p', <any>)])", "rows[{0¦-1}]", "deep.x", "deep['x']",
        "(rows|{first¦last})",
    ],
}
# Within a loop.
LOOP = {
    "int": ["loop.{index¦index0¦revindex¦revindex0¦length¦depth¦depth0}"],
    "str": ["loop.cycle(<str>, <str>)", "loop.cycle(*ls)"],
    "bool": ["loop.{first¦last}", "loop.changed(<any>)", "(loop.previtem is defined)",
             "(loop.nextitem is undefined)"],
}
TYPES = ["int", "float", "str", "bool", "list", "dict"]


class Maker:
    def __init__(self, rng):
        self.r = rng
        self.locals = []  # of (name, type) in scope
        self.macros = []  # of (name, number of parameters)
        self.in_loop = 0
        self.n_names = 0

    def pick(self, *choices):
        return self.r.choice(choices)

    def chance(self, p):
        return self.r.random() < p

    # ---- expressions

    def any(self, depth):
        kind = self.pick(*TYPES, *TYPES, "none", "undef")
        return self.expr(kind, depth)

    def expr(self, kind, depth):
        if self.chance(.005):
            kind = self.pick(*TYPES, "none", "undef")
        if depth <= 0 or kind not in GRAMMAR or self.chance(.15):
            mine = [n for n, k in self.locals if k == kind]
            if mine and self.chance(.5):
                return self.r.choice(mine)
            return self.r.choice(NAMES[kind].split() if self.chance(.5) else LITERALS[kind])
        general = f"(<{kind}> if <bool> else <{kind}>)", f"(<{kind}> {{or¦and}} <{kind}>)", \
            f"(<{kind}>|default(<{kind}>{{¦, true¦, boolean=True}}))"
        if self.chance(.12):
            return self.expand(self.pick(*general), depth - 1)
        if self.in_loop and kind in LOOP and self.chance(.2):
            return self.expand(self.pick(*LOOP[kind]), depth - 1)
        return self.expand(self.pick(*GRAMMAR[kind]), depth - 1)

    def expand(self, text, depth):
        """First the choices, then the placeholders."""
        text = re.sub("{([^{}]*¦[^{}]*)}", lambda m: self.pick(*m[1].split("¦")), text)
        return re.sub("<([a-z]+|')>", lambda m: self.place(m[1], depth), text)

    def place(self, what, depth):
        if what == "any":
            return self.any(depth)
        if what == "'":
            return self.pick(*LITERALS["str"])
        if what == "n":
            return self.pick("-7", "-3", "-2", "-1", "0", "1", "2", "3", "4", "9")
        if what == "slice":
            return self.slice()
        if what == "call":
            return self.macro_call(depth) if self.macros else self.expr("str", depth)
        return self.expr(what, depth)

    def slice(self):
        bounds = ["", "", "none", *"-7 -3 -2 -1 0 1 2 3 4 9".split()]
        step = self.pick("", "", "", ":", ":1", ":2", ":-1", ":-2", ":3")
        return f"{self.r.choice(bounds)}:{self.r.choice(bounds)}{step}"

    def macro_call(self, depth):
        name, n = self.r.choice(self.macros)
        args = [self.any(depth) for _ in range(self.r.randrange(n + 1))]
        if self.chance(.2) and len(args) < n:
            args.append(f"p{n - 1}={self.any(depth)}")
        elif self.chance(.08):
            args.append(self.expand("{extra=<any>¦p0=<any>¦*<list>¦**de¦**rows[2]}", depth))
        return f"{name}({', '.join(args)})"

    # ---- statements

    def tag(self, text):
        sign = self.pick("", "", "", "-", "+"), self.pick("", "", "", "-", "+")
        return "{%" + sign[0] + " " + self.expand(text, 2) + " " + sign[1] + "%}"

    def output(self, depth):
        text = self.expr(self.pick(*TYPES), depth)
        if self.chance(.03):  # only here: what it gives is a string, where Jinja2 has its Markup
            text = f"({text})|{self.pick('escape', 'e', 'safe', 'string|escape')}"
        return "{{" + self.pick("", "", "-") + " " + text + " " + self.pick("", "", "-") + "}}"

    def text(self):
        return self.pick("x", " ", "\n", "\n\n", "  ", " y ", "\n  ", "a\n", "\n\t", "z", "}}", "%}", "é",
                         "{ { ", "\\n", "- ", "#}", "\r\n", " \n \n ")

    def name(self):
        self.n_names += 1
        return self.pick("v", "w", "u") + self.pick("", str(self.n_names % 3))

    def body(self, depth, n=3, names=()):
        before = list(self.locals), list(self.macros)
        self.locals += names
        out = "".join(self.statement(depth) for _ in range(self.r.randint(1, n)))
        self.locals, self.macros = before
        return out

    def statement(self, depth):
        if depth <= 0 or self.chance(.5):
            return self.text() if self.chance(.35) else self.output(self.r.randint(1, 3))
        makers = [self.for_loop] * 3 + [self.condition] * 3 + [self.assign] * 3 + [
            self.assign_block, self.filter_block, self.scope, self.comment, self.raw, self.namespace,
            self.macro, self.macro, self.call_block, self.generation, self.recursive, self.print,
            self.function]
        return self.pick(*makers)(depth - 1)

    def condition(self, depth):
        out = self.tag("if <bool>") + self.body(depth)
        for _ in range(self.pick(0, 0, 1, 2)):
            out += self.tag("elif <any>") + self.body(depth)
        if self.chance(.5):
            out += self.tag("else") + self.body(depth)
        return out + self.tag("endif")

    def assign(self, _):
        name, kind = self.name(), self.pick(*TYPES)
        out = self.tag(f"set {name} = <{kind}>" if self.chance(.9) else f"set {name}, k = <int>, <any>")
        self.locals.append((name, kind))
        return out

    def assign_block(self, depth):
        name = self.name()
        filters = "{¦¦|upper¦|trim¦|replace('a', 'b')|length}"
        out = self.tag(f"set {name}{filters}") + self.body(depth) + self.tag("endset")
        self.locals.append((name, "str"))
        return out

    def filter_block(self, depth):
        return self.tag("filter {upper¦trim¦replace(' ', '_')¦indent(2)|upper}") + self.body(depth) + \
            self.tag("endfilter")

    def scope(self, depth):
        name = self.name()
        return self.tag(f"with {name} = <int>{{¦, vv = <any>}}") + self.body(depth, 3, [(name, "int")]) + \
            self.tag("endwith")

    def comment(self, _):
        sign = self.pick("", "-", "+"), self.pick("", "-", "+")
        return "{#" + sign[0] + " note {{ x }} {% y %} " + sign[1] + "#}"

    def raw(self, _):
        begin = self.pick("{% raw %}", "{% raw -%}", "{%- raw %}", "{%+ raw %}", " {% raw %}\n")
        return begin + self.pick(" {{ x }} ", "{% if %}\n", "\n a", "") + self.tag("endraw")

    def generation(self, depth):
        return self.tag("generation") + self.body(depth) + self.tag("endgeneration")

    def print(self, _):
        return self.tag("print <any>{¦, <str>}")

    def function(self, _):
        """The two that transformers adds; the day's date stays the same for a test."""
        return self.pick(
            "{{ strftime_now('%Y|%%|%j') }}",
            self.tag("if <bool> and <bool> and <bool>") + "{{ raise_exception('no ' ~ s) }}" + self.tag("endif"))

    def for_loop(self, depth):
        name = self.name()
        kind = self.pick("int", "str", "list")
        head, names = self.pick(
            (f"{name} in <list>", [(name, kind)]),
            (f"{name} in [<{kind}>, <{kind}>, <{kind}>]", [(name, kind)]),
            (f"k, {name} in <dict>.items()", [("k", "str"), (name, kind)]),
            (f"k, {name} in <dict>|items", [("k", "str"), (name, kind)]),
            (f"{name} in {{s¦d¦rows¦range(3)¦missing¦le}}", [(name, "str")]),
            (f"{name} in {{l[::-1]¦ls|sort¦l|reverse¦rows|map(attribute='n')}}", [(name, "int")]))
        if self.chance(.25):
            head += " if " + self.pick(f"{name} {{in¦!=¦==}} <any>", f"{name} is {{string¦defined¦none}}",
                                       "<bool>")
        out = self.tag("for " + head)
        self.in_loop += 1
        out += self.body(depth, 4, names)
        if self.chance(.15):
            jump = self.tag("if <bool>") + self.tag("{break¦continue}") + self.tag("endif") + self.text()
            out += self.pick(jump, jump, "{% filter upper %}a" + jump + "b{% endfilter %}",
                             "{% set q %}a" + jump + "b{% endset %}{{ q }}",
                             "{% for q in le %}{% else %}" + jump + "{% endfor %}",
                             "{% with q = 1 %}" + jump + "{% endwith %}",
                             "{% generation %}" + jump + "{% endgeneration %}" if self.chance(.1) else jump)
        self.in_loop -= 1
        if self.chance(.2):
            out += self.tag("else") + self.body(depth, 2)
        return out + self.tag("endfor")

    def recursive(self, _):
        return self.tag("for q in [[1, [2, 3]], [4], []] recursive") + \
            "{{ loop.depth }}:{{ loop.index }}" + \
            self.pick("{% if q is iterable %}({{ loop(q) }}){% else %}{{ q }}{% endif %}",
                      "{% if q is not number and q %}<{{ loop(q)|upper }}>{% endif %}") + \
            self.output(1) + self.tag("endfor")

    def namespace(self, depth):
        return self.tag("set ns = namespace(a=<any>{¦, n=0¦, **rows[0]})") + self.tag("for x in l") + \
            self.tag("set ns.n = {x¦ns.n ~ x¦x ~ ns.a}") + self.body(depth, 1) + self.tag("endfor") + \
            "{{ ns.n }}/{{ ns.a }}/{{ ns.missing is defined }}"

    def macro(self, depth):
        n = self.r.randrange(3)
        name = f"m{len(self.macros)}"
        n_defaults = self.r.randrange(n + 1)
        head = [f"p{k}" + ("=<any>" if k >= n - n_defaults else "") for k in range(n)]
        loops, self.in_loop = self.in_loop, 0
        out = self.tag(f"macro {name}({', '.join(head)})")
        out += self.body(depth, 3, [(f"p{k}", self.pick("int", "str")) for k in range(n)])
        out += self.pick("", "", "{{ varargs }}", "{{ kwargs }}", "{{ caller() if caller else 'none' }}",
                         "{{ p0 }}", "{{ caller('c') if caller }}")
        self.in_loop = loops
        self.macros.append((name, n))
        return out + self.tag("endmacro") + "{{ " + self.macro_call(1) + " }}"

    def call_block(self, depth):
        loops, self.in_loop = self.in_loop, 0
        if not self.macros:
            self.macros.append(("callee", 0))
            out = "{% macro callee() %}[{{ caller() }}]{% endmacro %}"
        else:
            out = ""
        out += self.tag("call{¦(cc)¦(cc=1)} <call>") + self.body(depth, 2) + self.tag("endcall")
        self.in_loop = loops
        return out


# What templates are made of; each must stand in some that give a text, or the comparison compares less
# than it seems to.
FILTERS = """abs batch capitalize center count default dictsort e escape first float format groupby indent int
    items join last length list lower map max min reject rejectattr replace reverse round safe select
    selectattr slice sort string sum title tojson trim unique upper wordcount""".split()
TESTS = """boolean callable defined divisibleby eq equalto escaped even false filter float ge greaterthan gt in
    integer iterable le lessthan lower lt mapping ne none number odd sameas sequence string test true
    undefined upper""".split()
METHODS = """capitalize count endswith find format get index isalnum isalpha isdigit islower isspace isupper items
    join keys lower lstrip partition removeprefix removesuffix replace rfind rpartition rsplit rstrip split
    splitlines startswith strip title upper values""".split()
CONSTRUCTS = {
    **{f"|{name}": rf"\|\s*{name}\b" for name in FILTERS},
    **{f"is {name}": rf"\bis (not )?{name}\b" for name in TESTS},
    **{f".{name}()": rf"\.{name}\(" for name in METHODS},
    **{f"loop.{name}": rf"\bloop\.{name}\b" for name in """changed cycle depth depth0 first index index0 last
        length nextitem previtem revindex revindex0""".split()},
    **{name: rf"%[-+]? {name}\b" for name in """break call continue elif else filter for generation if macro print
        raw set with""".split()},
    **{f"a {op} b": rf"[^*/<>=!] {re.escape(op)} [^=]" for op in "+ - * / // % ** ~ == != < > <= >=".split()},
    **{f"{name}()": rf"\b{name}\(" for name in "caller dict loop namespace range raise_exception strftime_now"
       .split()},
    "set block": r"% set \w+(\|.*)? [-+]?%", "set of two": r"% set \w+, \w+ =", "set of a namespace": r"set ns\.n",
    "for if": r"% for [^%]* if ", "for of two": r"% for \w+, \w+ in", "for else": r"% else [-+]?%[^%]*(.|\n)*% endfor",
    "recursive": r"recursive", "a if b else c": r"\bif .* else ", "not": r"\bnot ", "and": r" and ", "or": r" or ",
    "in": r" in ", "not in": r" not in ", "default of a parameter": r"% macro \w+\([^)]*=",
    "argument by name": r"\(p\d=", "*args": r"\(\*|, \*", "**kwargs": r"\*\*(de|rows)", "varargs": "varargs",
    "kwargs": "kwargs", "call with arguments": r"% call\(", "slice": r"\[[^\[\]]*:[^\[\]]*\]", "backwards": r":-\d\]",
    "{%-": "{%-", "-%}": "-%}", "{%+": r"{%\+", "+%}": r"\+%}", "{{-": "{{-", "-}}": "-}}", "comment": "{#",
    "indent of JSON": r"tojson\(indent", "sort_keys": "sort_keys", "separators": "separators",
    "ensure_ascii": "ensure_ascii",
}


def constructs_of(template):
    return {name for name, pattern in CONSTRUCTS.items() if re.search(pattern, template)}


def make_cases(seed, n):
    for k in range(n):
        rng = random.Random(f"{seed}/{k}")
        maker = Maker(rng)
        template = "".join(maker.statement(3) for _ in range(rng.randint(1, 7)))
        yield {"name": f"random {seed}/{k}", "template": template, "vars": VARS}
