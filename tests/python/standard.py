"""Compares the generated checks with the standard's own library, value by value.

For every message of the conformance cases (proto/standard/protos) it makes values around the message's rules, asks
protovalidate, asks the binary `standard` (made from the same messages by the contract's generator), and compares which
fields are bad. Prints how many agree, and every difference that has no stated reason.

    python standard.py STUBS STANDARD [COUNT]
"""

import importlib
import pathlib
import random
import re
import subprocess
import sys

import protovalidate
from google.protobuf import descriptor, message_factory

STUBS, STANDARD = sys.argv[1], sys.argv[2]
COUNT = int(sys.argv[3]) if len(sys.argv) > 3 else 60_000
ROOT = "buf.validate.conformance.cases"

# What we refuse wherever it stands, whatever the rules say (proto/standard/README.md).
BEYOND = ("string.characters", "string.normal", "double.finite", "float.finite", "enum.defined_only",
          "timestamp.range", "timestamp.nanos", "duration.range", "duration.nanos")

TEXTS = [
    "", " ", "a", "ab", "foo", "foobar", "bar", "baz", "barfoo", "FOO", "éü", "😀😀😀", "a b", "-a", "a-", "a_b", "x" * 63,
    "x" * 64, "x" * 254, "me@example.org", "a@b@c", "@x", "me@", "a.b+c@ex-ample.org", "me@example.", "me@-x.org",
    "example.org", "example.org.", "example..org", "123", "1.2.3", "a.123", "xn--bcher-kva.example", "EXAMPLE",
    "127.0.0.1", "127.0.0.256", "127.0.0.01", "127.0.0", "1.2.3.4.5", "::", "::1", "1::2::3", "2001:db8::ff00:42:8329",
    "fe80::1%eth0", "fe80::1%", "::ffff:1.2.3.4", "12345::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::",
    "127.0.0.0/8", "127.0.0.1/8", "127.0.0.0/33", "127.0.0.0/08", "127.0.0.0/", "10.0.0.0/0", "::/0", "2001:db8::/32",
    "2001:db8::1/32", "::1/128", "::1/129", "fe80::1%a/64", "0.0.0.0/0", "1.2.3.4/32", "/8",
    "example.org:80", "example.org:", "example.org:080", "example.org:65535", "example.org:65536", "127.0.0.1:0", "[::1]:80",
    "[::1]", "[::1", "::1:80", "[fe80::1%x]:1", "[127.0.0.1]:80", ":80", "a:b:1", "host",
    "http://example.org", "https://a:b@example.org:80/x/y;z?q=1#f", "//x", "/x", "x", "x:y", "x:", ":x", "http://[::1]/",
    "http://[::1%25eth0]/", "http://[::1%eth0]/", "http://[v1.x]/", "http://[vx.x]/", "http://a b/", "http://a%20b/",
    "http://a%2/", "http://a%ff/", "http://x/%ff", "http://x?a%", "http://x#a#b", "http://x/a[b]", "1http://x", "a+b-c.d:x",
    "urn:x:y", "mailto:me@example.org", "http://", "http:///x", "http://x:8a/", "http://x:", "http://u@v@x", "a/b:c",
    "./a:b", "a:b/c", "?q", "#f", "http://ex\u00e4mple.org", "http://x/\\", "http://x/{a}", "x://y?z/?:@",
    "6f2d1c0a-1b2c-4d3e-8f90-a1b2c3d4e5f6", "6F2D1C0A-1B2C-4D3E-8F90-A1B2C3D4E5F6", "6f2d1c0a1b2c4d3e8f90a1b2c3d4e5f6",
    "6f2d1c0a-1b2c-4d3e-8f90-a1b2c3d4e5fg", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "01arz3ndektsv4rrffq69g5fav",
    "81ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAI", "01ARZ3NDEKTSV4RRFFQ69G5FA", "a.b.C", ".a.b.C", "a..b", "1a.b",
    "_a._b", "a.b.", "..a", "Content-Type", ":path", "::path", "a\tb", "a`b", "a{b", "a b: c", "text/plain; q=1", "ÿ",
    "type.googleapis.com/google.protobuf.Duration", "foo/bar", "../x", "a,b", "abcd", "abc", "buz", "fizz",
]
NUMBERS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 16, 17, 18, 20, 21, 42, 43, 64, 127, 128, 255, 256, 257, 2**31 - 1]
LARGE = [2**32 - 1]
HUGE = [2**63 - 1]
FLOATS = [0.0, -0.0, 0.5, 1.0, -1.0, 1.5, 5.0, 7.0, 8.0, 9.0, 10.0, 15.5, 16.0, 17.0, 123.0, 456.5, -2.25, 4.56, 7.89, 3.0e38]
BLOBS = [b"", b"a", b"foo", b"bar", b"baz", b"fizz", b"buzz", b"\x99", b"\x99\x01", b"xbarx", b"abuz\x7a", b"\x00" * 4,
         b"\x00" * 16, b"\x00" * 15, b"\xff\xfe", b"abcde", b"abcdef", b"caf\xc3\xa9"]
SECONDS = [0, 1, 2, 3, 4, 5, 59, 60, 61, 1800, 3599, 3600, 3601, 7200]
NANOS = [0, 1, 999, 1000, 1001, 1_000_000, 999_999, 1_000_001, 500_000_000]
F = descriptor.FieldDescriptor
SIGNED = (F.TYPE_INT32, F.TYPE_INT64, F.TYPE_SINT32, F.TYPE_SINT64, F.TYPE_SFIXED32, F.TYPE_SFIXED64)


def scalar(field, rng):
    kind = field.type
    if kind == F.TYPE_STRING:
        text = rng.choice(TEXTS)
        if rng.random() < 0.1 and text:
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice("-.:/%a0[]@ ") + text[at + rng.randrange(2):]
        return text
    if kind == F.TYPE_BYTES:
        return rng.choice(BLOBS)
    if kind == F.TYPE_BOOL:
        return rng.random() < 0.5
    if kind in (F.TYPE_DOUBLE, F.TYPE_FLOAT):
        return rng.choice(FLOATS) * rng.choice([1, 1, 1, -1])
    if kind == F.TYPE_ENUM:
        return rng.choice(field.enum_type.values).number
    number = rng.choice(NUMBERS)
    if kind in (F.TYPE_UINT32, F.TYPE_FIXED32, F.TYPE_UINT64, F.TYPE_FIXED64) and rng.random() < 0.05:
        number = rng.choice(LARGE)
    if kind in (F.TYPE_INT64, F.TYPE_UINT64) and rng.random() < 0.02:
        number = rng.choice(HUGE)
    return -number if kind in SIGNED and rng.random() < 0.4 else number


def fill(message, rng, depth=0):
    name = message.DESCRIPTOR.full_name
    if name == "google.protobuf.Timestamp":
        message.seconds, message.nanos = rng.choice(SECONDS), rng.choice(NANOS)
    elif name == "google.protobuf.Duration":
        message.seconds, message.nanos = rng.choice(SECONDS), rng.choice(NANOS)
        if rng.random() < 0.2:
            message.seconds, message.nanos = -message.seconds, -message.nanos
    elif name == "google.protobuf.Any":
        message.type_url = "type.googleapis.com/google.protobuf." + rng.choice(["Duration", "Timestamp", "Empty"])
    elif name == "google.protobuf.FieldMask":
        message.paths.extend(rng.choice(["a", "b", "c", "d", "a.b", "ab", "c.d"]) for _ in range(rng.randrange(3)))
    else:
        for field in message.DESCRIPTOR.fields:
            if rng.random() < 0.25:
                continue
            if field.type == F.TYPE_MESSAGE and field.message_type.GetOptions().map_entry:
                fill_map(message, field, rng, depth)
            elif field.is_repeated:
                for _ in range(rng.choice([0, 1, 1, 2, 3, 4, 5])):
                    if field.type == F.TYPE_MESSAGE:
                        if depth < 3:
                            fill(getattr(message, field.name).add(), rng, depth + 1)
                    else:
                        getattr(message, field.name).append(scalar(field, rng))
            elif field.type == F.TYPE_MESSAGE:
                if depth < 3:
                    getattr(message, field.name).SetInParent()
                    fill(getattr(message, field.name), rng, depth + 1)
            else:
                setattr(message, field.name, scalar(field, rng))


def fill_map(message, field, rng, depth):
    key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
    held = getattr(message, field.name)
    for _ in range(rng.choice([0, 1, 2, 3, 4])):
        if value.type == F.TYPE_MESSAGE:
            if depth < 3:
                fill(held[scalar(key, rng)], rng, depth + 1)
        else:
            held[scalar(key, rng)] = scalar(value, rng)


def path(violation):
    out = ""
    for element in violation.proto.field.elements if violation.proto.field is not None else []:
        out += ("." if out else "") + element.field_name
        which = element.subscript
        if which is not None:
            out += "[]"
    return out


def plain(text):
    """A path without what stands in brackets: the two sides write keys of maps each in their way."""
    return re.sub(r'\[("(\\.|[^"\\])*["…]|[^\]"]*)\]', "[]", text)


def messages():
    sys.path.insert(0, STUBS)
    for file in sorted(pathlib.Path(STUBS).glob("buf/validate/conformance/cases/**/*_pb2.py")):
        module = ".".join(file.relative_to(STUBS).with_suffix("").parts)
        proto = importlib.import_module(module).DESCRIPTOR
        if "proto2" in proto.name or "editions" in proto.name:
            continue
        todo = list(proto.message_types_by_name.values())
        while todo:
            one = todo.pop()
            todo += [inner for inner in one.nested_types if not inner.GetOptions().map_entry]
            yield one


def expected(validator, message):
    try:
        return "ok", validator.collect_violations(message)
    except protovalidate.CompilationError:
        return "refused", []
    except Exception:  # what fails when it runs, whatever the library calls it
        return "runtime", []


def main():
    rng = random.Random(20261125)
    validator = protovalidate.Validator()
    kinds = sorted(messages(), key=lambda one: one.full_name)
    classes = [message_factory.GetMessageClass(one) for one in kinds]
    each = max(1, COUNT // len(classes))
    cases = []
    for cls in classes:
        for _ in range(each):
            message = cls()
            fill(message, rng)
            cases.append(message)
    lines = "".join(f"{m.DESCRIPTOR.full_name}\t{m.SerializeToString(deterministic=True).hex()}\n" for m in cases)
    answers = subprocess.run([STANDARD], input=lines, capture_output=True, text=True, check=True).stdout.split("\n")
    agreed, stricter, differences, wrong = 0, {}, [], set()
    for message, answer in zip(cases, answers, strict=False):
        state, violations = expected(validator, message)
        parts = answer.split("\x1f")
        if state == "refused" or parts[0] == "refused":
            same = parts[0] == "refused" and state in ("refused", "runtime")
        else:
            wanted = {plain(path(violation)) for violation in violations}
            found = {}
            for part in parts[1:]:
                where, tab, rule = part.partition("\t")
                if tab:
                    found.setdefault(plain(where), set()).add(rule)
            # At most 20 are listed.
            missing = wanted - set(found) if len(parts) <= 20 else set()
            more = [rules for where, rules in found.items() if where not in wanted]
            if state == "runtime":
                same = bool(found)
            else:
                same = not missing and not more
            if not same and not missing and all(any(rule in BEYOND for rule in rules) for rules in more):
                for rules in more:
                    rule = min(rules)
                    stricter[rule] = stricter.get(rule, 0) + 1
                continue
        if same:
            agreed += 1
        else:
            wrong.add(message.DESCRIPTOR.full_name)
            differences.append(f"{message.DESCRIPTOR.full_name} {message!r}: {answer!r} instead of {state} "
                               f"{[(path(v), v.proto.rule_id) for v in violations]}")
    print(f"{len(cases)} values of {len(classes)} messages: {agreed} agree, stricter by intent {stricter}")
    for difference in differences[:40]:
        print("  ", difference.replace("\n", " "))
    # A message with all its values is one test.
    print(f"{len(classes) - len(wrong)} passed, {len(wrong)} failed")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
