"""Random schemas, and random values, for schema_compare.py."""

KEYS = ["a", "b", "kind", "x-1", "n"]
PATTERNS = ["^a", "b$", "^[a-z]+$", "^x-", "[0-9]", "^(a|b)*$", "^.{2,4}$", "é", "^$", "^k"]
STRINGS = ["", "a", "b", "ab", "cat", "x-1", "é", "a\"b", "12"]
NUMBERS = [0, 1, -1, 2, 3, 5, 7, 10, 12, 100, 0.5, 0.1, -0.25, 1.5, 2.0, 1e3, 99.99]
TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]
FORMATS = ["date", "ipv4", "uuid", "json-pointer", "date-time", "email"]


def value(rng, words=STRINGS, depth=0):
    kind = rng.randrange(6 if depth > 2 else 9)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind in (1, 2):
        return rng.choice(NUMBERS)
    if kind in (3, 4):
        return rng.choice(STRINGS)
    if kind == 5:
        return rng.choice(list(words))
    if kind == 6:
        return [value(rng, words, depth + 1) for _ in range(rng.randrange(4))]
    keys = KEYS if rng.random() < 0.6 else list(words)
    return {rng.choice(keys): value(rng, words, depth + 1) for _ in range(rng.randrange(4))}


def a_string(rng, s):
    for key, make in (("minLength", lambda: rng.randrange(5)), ("maxLength", lambda: rng.randrange(1, 8)),
                      ("pattern", lambda: rng.choice(PATTERNS)), ("format", lambda: rng.choice(FORMATS))):
        if rng.random() < (0.1 if key == "format" else 0.35):
            s[key] = make()


def a_number(rng, s):
    if rng.random() < 0.4:
        s[rng.choice(["minimum", "exclusiveMinimum"])] = rng.choice(NUMBERS)
    if rng.random() < 0.4:
        s[rng.choice(["maximum", "exclusiveMaximum"])] = rng.choice(NUMBERS)
    if rng.random() < 0.2:
        s["multipleOf"] = rng.choice([1, 2, 3, 7, 10, 0.5, 0.1, 0.01, 2.5, 1.0, 100])


def an_array(rng, s, d):
    if rng.random() < 0.6:
        s["items"] = schema(rng, d + 1)
    if rng.random() < 0.25:
        s["prefixItems"] = [schema(rng, d + 1) for _ in range(rng.randrange(1, 4))]
    if rng.random() < 0.3:
        s["minItems"] = rng.randrange(4)
    if rng.random() < 0.3:
        s["maxItems"] = rng.randrange(5)
    if rng.random() < 0.1:
        s["contains"] = schema(rng, d + 1)
        if rng.random() < 0.4:
            s[rng.choice(["minContains", "maxContains"])] = rng.randrange(3)
    if rng.random() < 0.08:
        s["uniqueItems"] = rng.random() < 0.8
    if rng.random() < 0.05:
        s["unevaluatedItems"] = schema(rng, d + 1)


def an_object(rng, s, d):
    if rng.random() < 0.8:
        s["properties"] = {k: schema(rng, d + 1) for k in rng.sample(KEYS, rng.randrange(1, 4))}
    if rng.random() < 0.4:
        s["required"] = rng.sample(KEYS, rng.randrange(1, 3))
    if rng.random() < 0.2:
        s["patternProperties"] = {rng.choice(PATTERNS): schema(rng, d + 1) for _ in range(rng.randrange(1, 3))}
    if rng.random() < 0.4:
        s["additionalProperties"] = rng.choice([False, False, True, None]) or schema(rng, d + 1)
        if rng.random() < 0.5:
            s["additionalProperties"] = False
    if rng.random() < 0.1:
        s["propertyNames"] = rng.choice([{"enum": KEYS[:3]}, {"pattern": rng.choice(PATTERNS)}, {"maxLength": 2},
                                         {"not": {"const": "a"}}])
    if rng.random() < 0.12:
        s["minProperties"] = rng.randrange(3)
    if rng.random() < 0.12:
        s["maxProperties"] = rng.randrange(1, 4)
    if rng.random() < 0.08:
        s["dependentRequired"] = {rng.choice(KEYS): rng.sample(KEYS, rng.randrange(0, 3))}
    if rng.random() < 0.05:
        s["dependentSchemas"] = {rng.choice(KEYS): schema(rng, d + 1)}
    if rng.random() < 0.05:
        s["unevaluatedProperties"] = rng.choice([False, {"type": "string"}])


def schema(rng, d=0):
    kind = rng.random()
    if kind < 0.06:
        return rng.choice([True, False, {}, True])
    if kind < 0.2 and d > 0:
        return {"type": rng.choice(TYPES)}
    if kind < 0.3:
        return {"enum": [value(rng) for _ in range(rng.randrange(1, 5))]} if kind < 0.26 else {"const": value(rng)}
    if d > 3:
        return {"type": rng.choice(TYPES[:5])}
    s = {}
    if rng.random() < 0.75:
        s["type"] = rng.choice(TYPES) if rng.random() < 0.8 else rng.sample(TYPES, 2)
    types = s.get("type", rng.sample(TYPES, 2))
    types = [types] if isinstance(types, str) else types
    if "string" in types:
        a_string(rng, s)
    if "integer" in types or "number" in types:
        a_number(rng, s)
    if "array" in types:
        an_array(rng, s, d)
    if "object" in types:
        an_object(rng, s, d)
    for key, chance in (("anyOf", 0.1), ("oneOf", 0.1), ("allOf", 0.1)):
        if rng.random() < chance:
            s[key] = [schema(rng, d + 1) for _ in range(rng.randrange(1, 4))]
    if rng.random() < 0.07:
        s["not"] = schema(rng, d + 2)
    if rng.random() < 0.07:
        s["if"] = schema(rng, d + 2)
        for key in ("then", "else"):
            if rng.random() < 0.7:
                s[key] = schema(rng, d + 1)
    if d == 0 and rng.random() < 0.3:
        s["$defs"] = {"t": schema(rng, 1), "u/v~": schema(rng, 2)}
        target = s.setdefault("properties", {})
        target["n"] = {"$ref": rng.choice(["#/$defs/t", "#/$defs/u~1v~0", "#"])}
    return s
