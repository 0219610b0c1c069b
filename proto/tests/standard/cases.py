"""Writes cases.txt: random messages of rules.proto with the fields that the standard's own Python library finds bad.

Needs protovalidate (1.2), grpcio-tools and googleapis-common-protos. From the folder `proto`:

    python -m grpc_tools.protoc -I tests/protos -I . -I third_party --python_out=OUT \
        tests/protos/regard/testing/v1/rules.proto regard/common/v1/options.proto buf/validate/validate.proto
    PYTHONPATH=OUT python tests/standard/cases.py > tests/standard/cases.txt

Times are whole microseconds, the resolution of that library. Values are well formed (real days, finite numbers,
declared enum numbers), since the suite refuses others even where the standard does not.
"""

import random

import protovalidate
from google.protobuf.descriptor import FieldDescriptor as Field
from regard.testing.v1 import rules_pb2

TEXTS = ["", "a", "ab", "abc", "abcd", "éü", "😀😀😀", "red", "black", "only", "amidst", "xyz", "a bad one", "key",
         "6f2d1c0a-1b2c-4d3e-8f90-a1b2c3d4e5f6", "6f2d1c0a1b2c4d3e8f90a1b2c3d4e5f6", "me@example.org", "a@b@c", "@x"]
NUMBERS = [0, 1, 2, 3, 4, 5, 7, 9, 10, 11, 60, 2**31 - 1]
SIGNED = NUMBERS + [-1, -2, -4, -5, -6, -7, -10, -11, -(2**31)]
FLOATS = [0.0, -0.0, 0.5, 1.0, 1.5, -1.5, -1.25, 1e300, -1e300]
SECONDS = [0, 5, 10, 11, 946684800, 3786912000, 4102444799, 4102444800, -1, -2208988800, -2208988801]
SIGNED_TYPES = (Field.TYPE_INT32, Field.TYPE_INT64, Field.TYPE_SINT32, Field.TYPE_SINT64, Field.TYPE_SFIXED32,
                Field.TYPE_SFIXED64)


def scalar(field, rng):
    if field.type == Field.TYPE_STRING:
        return rng.choice(TEXTS)
    if field.type == Field.TYPE_BYTES:
        return rng.choice([b"", b"x", b"xy", b"xyz", b"wxyz"])
    if field.type == Field.TYPE_BOOL:
        return rng.random() < 0.5
    if field.type in (Field.TYPE_DOUBLE, Field.TYPE_FLOAT):
        return rng.choice(FLOATS if field.type == Field.TYPE_DOUBLE else FLOATS[:-2])
    if field.type == Field.TYPE_ENUM:
        return rng.choice([0, 1, 4])
    return rng.choice(SIGNED if field.type in SIGNED_TYPES else NUMBERS)


def fill(message, rng, depth=0):
    kind = message.DESCRIPTOR.full_name
    if kind == "google.protobuf.Timestamp":
        message.seconds, message.nanos = rng.choice(SECONDS), rng.choice([0, 5000, 6000, 999999000])
    elif kind == "google.protobuf.Duration":
        message.seconds, message.nanos = rng.choice([(0, 0), (0, 1000), (1, 0), (60, 0), (60, 1000), (-1, -1000)])
    elif kind == "google.type.Date":
        message.year, message.month, message.day = rng.choice([(1899, 12, 31), (1900, 1, 1), (2099, 12, 31), (2100, 1, 1)])
    elif kind == "google.type.Money":
        message.currency_code = "EUR"
        message.units, message.nanos = rng.choice([(0, 0), (0, 1), (1, 5), (-1, 0), (0, -1), (-3, -7)])
    elif kind == "google.protobuf.FieldMask":
        message.paths.extend(rng.sample(["name", "address", "address.city", "addresses", "other"], rng.randint(0, 2)))
    elif kind.endswith("Value"):
        message.value = scalar(message.DESCRIPTOR.fields_by_name["value"], rng)
    else:
        for field in message.DESCRIPTOR.fields:
            if field.name == "near" or rng.random() < 0.4 or (depth > 2 and field.message_type):
                continue
            one(message, field, rng, depth)


def one(message, field, rng, depth):
    held = getattr(message, field.name)
    if field.message_type and field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
        for _ in range(rng.randint(0, 3)):
            if value.message_type:
                fill(held[scalar(key, rng)], rng, depth + 1)
            else:
                held[scalar(key, rng)] = scalar(value, rng)
    elif field.is_repeated:
        for _ in range(rng.randint(0, 3)):
            if field.message_type:
                fill(held.add(), rng, depth + 1)
            else:
                held.append(scalar(field, rng))
    elif field.message_type:
        held.SetInParent()
        fill(held, rng, depth + 1)
    else:
        setattr(message, field.name, scalar(field, rng))


def path(violation):
    text = ""
    for element in violation.proto.field.elements:
        text += ("." if text else "") + element.field_name
        subscript = element.WhichOneof("subscript")
        if subscript == "string_key":
            text += '["%s"]' % element.string_key
        elif subscript:
            text += "[%d]" % getattr(element, subscript)
    return text


def main():
    rng = random.Random(1)
    for name in ("Texts", "Numbers", "Shades", "Blobs", "Lists", "Times", "Choices", "Pick", "Tree"):
        for _ in range(150):
            message = getattr(rules_pb2, name)()
            fill(message, rng)
            try:
                protovalidate.validate(message)
                bad = []
            except protovalidate.ValidationError as error:
                bad = sorted({path(violation) for violation in error.violations})
            data = message.SerializeToString(deterministic=True)
            print(name, data.hex() or "-", "|".join(bad) or ("ok" if not bad else "-"), sep="\t")


main()
