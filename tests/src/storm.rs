//! Input that no honest client sends, case by case: each number makes the same case again.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, ReflectMessage as _, Value};
use rand::{Rng as _, SeedableRng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;
use regard_proto::{METHODS, Method};

use crate::raw::frame;
use crate::wild::{Contract, Wrong};

/// One call.
pub struct Case {
    /// The RPC's path, or one that nobody serves.
    pub path: String,
    /// True where the server may go on answering.
    pub streams: bool,
    /// What is wrong with it.
    pub kind: &'static str,
    /// Headers beyond the usual ones.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

/// Ways to be wrong.
const KINDS: [&str; 14] = [
    "a rule",
    "a rule and another",
    "a limit",
    "wild values",
    "random bytes",
    "random fields",
    "cut message",
    "cut frame",
    "flipped bits",
    "compression",
    "lengths",
    "nesting",
    "many fields",
    "headers",
];

/// The cases of the contract.
pub struct Storm {
    contract: Contract,
    /// Of each RPC, in the order of the contract.
    wrongs: Vec<(Vec<Wrong>, Vec<Wrong>)>,
}

impl Storm {
    /// Of the contract as it is.
    #[must_use]
    pub fn new() -> Self {
        let contract = Contract::read();
        let wrongs = METHODS
            .iter()
            .map(|method| {
                let of = contract.message(method.request);
                (contract.wrongs(&of), contract.limits(&of))
            })
            .collect();
        Self { contract, wrongs }
    }

    /// The case of a number.
    #[must_use]
    pub fn case(&self, number: usize) -> Case {
        let mut random = ChaCha8Rng::seed_from_u64(number as u64);
        let place = number % METHODS.len();
        let kind = KINDS[(number / METHODS.len()) % KINDS.len()];
        let method = &METHODS[place];
        let of = self.contract.message(method.request);
        let sound = || self.contract.sound(&of);
        let mut case = Case {
            path: method.path.to_owned(),
            streams: method.server_streaming,
            kind,
            headers: Vec::new(),
            body: Bytes::new(),
        };
        case.body = match kind {
            "a rule" => frame(&self.wrong(place, &of, 1, &mut random)),
            "a rule and another" => frame(&self.wrong(place, &of, 3, &mut random)),
            "a limit" => {
                let mut message = sound();
                if let Some(limit) = self.wrongs[place].1.choose(&mut random) {
                    limit.apply(&mut message);
                }
                frame(&message.encode_to_vec())
            }
            "wild values" => {
                let mut message = sound();
                for _ in 0..random.random_range(1..4) {
                    wild(&mut message, &mut random, 0);
                }
                frame(&message.encode_to_vec())
            }
            "random bytes" => frame(&noise(&mut random, 400)),
            "random fields" => frame(&fields(&mut random, 0)),
            "cut message" => {
                let whole = sound().encode_to_vec();
                frame(&whole[..random.random_range(0..=whole.len())])
            }
            "cut frame" => {
                let whole = frame(&sound().encode_to_vec());
                whole.slice(..random.random_range(0..whole.len()))
            }
            "flipped bits" => {
                let mut whole = BytesMut::from(&frame(&sound().encode_to_vec())[..]);
                for _ in 0..random.random_range(1..5) {
                    let at = random.random_range(0..whole.len());
                    whole[at] ^= 1 << random.random_range(0..8);
                }
                whole.freeze()
            }
            "compression" => compressed(&mut case.headers, &sound().encode_to_vec(), &mut random),
            "lengths" => lengths(&sound().encode_to_vec(), &mut random),
            "nesting" => frame(&nested(&of, &mut random)),
            "many fields" => frame(&many(&of, &mut random)),
            _ => {
                headers(&mut case, method, &mut random);
                frame(&sound().encode_to_vec())
            }
        };
        case
    }

    fn wrong(
        &self,
        place: usize,
        of: &MessageDescriptor,
        count: usize,
        random: &mut ChaCha8Rng,
    ) -> Vec<u8> {
        let mut message = self.contract.sound(of);
        for _ in 0..count {
            if let Some(wrong) = self.wrongs[place].0.choose(random) {
                wrong.apply(&mut message);
            }
        }
        message.encode_to_vec()
    }
}

impl Default for Storm {
    fn default() -> Self {
        Self::new()
    }
}

fn noise(random: &mut ChaCha8Rng, most: usize) -> Vec<u8> {
    let length = random.random_range(0..most);
    (0..length).map(|_| random.random()).collect()
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0));
}

/// Fields of any number and type, some of them messages.
fn fields(random: &mut ChaCha8Rng, depth: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..random.random_range(0..8) {
        let number = random.random_range(1..24_u64);
        let wire = random.random_range(0..7_u64);
        varint(number << 3 | wire, &mut out);
        match wire {
            0 => varint(
                random.random::<u64>() >> random.random_range(0..64),
                &mut out,
            ),
            1 => out.extend(random.random::<[u8; 8]>()),
            2 => {
                let inner = if depth < 5 && random.random() {
                    fields(random, depth + 1)
                } else {
                    noise(random, 40)
                };
                varint(inner.len() as u64, &mut out);
                out.extend(inner);
            }
            _ => out.extend(random.random::<[u8; 4]>()),
        }
    }
    out
}

/// Texts that are hard to take.
fn text(random: &mut ChaCha8Rng) -> String {
    const HARD: [&str; 16] = [
        "\0",
        "a\0b",
        "\u{202e}txt.exe",
        "\r\nx: y",
        "' OR 1=1 --",
        "%00%ff",
        "../../etc/passwd",
        "\u{feff}",
        "\u{fdd0}",
        "e\u{301}\u{301}\u{301}",
        "ﷺ",
        "{{7*7}}",
        "$(id)",
        "0190b3a1-7c3d-7c3d-8c3d-0190b3a17c3d",
        "operations/00000000-0000-0000-0000-000000000000",
        "AAAA",
    ];
    match random.random_range(0..4) {
        0 => "é".repeat(random.random_range(0..9_000)),
        1 => (0..random.random_range(0..60))
            .map(|_| random.random::<char>())
            .collect(),
        _ => (*HARD.choose(random).unwrap_or(&"")).to_owned(),
    }
}

fn value(kind: &Kind, random: &mut ChaCha8Rng) -> Option<Value> {
    let number = match random.random_range(0..5) {
        0 => i64::MIN,
        1 => i64::MAX,
        2 => -1,
        3 => 0,
        _ => random.random(),
    };
    Some(match kind {
        Kind::String => Value::String(text(random)),
        Kind::Bytes => Value::Bytes(noise(random, 200).into()),
        Kind::Bool => Value::Bool(random.random()),
        Kind::Enum(_) => Value::EnumNumber(random.random_range(-2..40)),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            Value::I32(i32::try_from(number).unwrap_or(if number < 0 {
                i32::MIN
            } else {
                i32::MAX
            }))
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(number),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(u32::try_from(number).unwrap_or(u32::MAX)),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(number.cast_unsigned()),
        Kind::Float => Value::F32(f32::NAN),
        Kind::Double => {
            Value::F64(*[f64::NAN, f64::INFINITY, -0.0, 1e308, -1e-308].choose(random)?)
        }
        Kind::Message(_) => return None,
    })
}

/// Sets some field, however deep, to a hard value.
fn wild(message: &mut DynamicMessage, random: &mut ChaCha8Rng, depth: usize) {
    let of = message.descriptor();
    let all: Vec<_> = of.fields().filter(|field| !field.is_map()).collect();
    let Some(field) = all.choose(random) else {
        return;
    };
    match field.kind() {
        Kind::Message(inner) => {
            if depth > 4 {
                return;
            }
            if field.is_list() {
                let mut one = DynamicMessage::new(inner);
                wild(&mut one, random, depth + 1);
                message.set_field(field, Value::List(vec![Value::Message(one)]));
            } else if random.random_range(0..5) == 0 {
                message.set_field(field, Value::Message(DynamicMessage::new(inner)));
            } else if let Value::Message(inner) = message.get_field_mut(field) {
                wild(inner, random, depth + 1);
            }
        }
        kind => {
            let Some(value) = value(&kind, random) else {
                return;
            };
            let value = if field.is_list() {
                Value::List(vec![value; random.random_range(0..40)])
            } else {
                value
            };
            message.set_field(field, value);
        }
    }
}

/// Flags of compression that are not true.
fn compressed(
    headers: &mut Vec<(&'static str, String)>,
    message: &[u8],
    random: &mut ChaCha8Rng,
) -> Bytes {
    let encodings = ["gzip", "zstd", "deflate", "br", "identity", ""];
    if random.random() {
        let encoding = *encodings.choose(random).unwrap_or(&"gzip");
        headers.push(("grpc-encoding", encoding.to_owned()));
    }
    let flag = *[0_u8, 1, 1, 1, 2, 3, 127, 255].choose(random).unwrap_or(&1);
    let body = if random.random() {
        message.to_vec()
    } else {
        noise(random, 200)
    };
    let mut out = BytesMut::new();
    out.put_u8(flag);
    out.put_u32(u32::try_from(body.len()).unwrap_or(0));
    out.put_slice(&body);
    out.freeze()
}

/// Lengths of frames and of fields that promise more, or less, than there is.
fn lengths(message: &[u8], random: &mut ChaCha8Rng) -> Bytes {
    let mut out = BytesMut::new();
    match random.random_range(0..3) {
        0 => {
            let promised = *[u32::MAX, 1 << 31, 4 << 20, 0, 1, 5]
                .choose(random)
                .unwrap_or(&0);
            out.put_u8(0);
            out.put_u32(promised);
            out.put_slice(message);
        }
        1 => {
            let mut body = Vec::new();
            varint(random.random_range(1..20_u64) << 3 | 2, &mut body);
            varint(
                *[u64::MAX, 1 << 40, 1 << 31, 9_999]
                    .choose(random)
                    .unwrap_or(&0),
                &mut body,
            );
            body.extend(noise(random, 50));
            return frame(&body);
        }
        _ => {
            // Several messages where one is expected.
            for _ in 0..random.random_range(2..6) {
                out.put_slice(&frame(message));
            }
        }
    }
    out.freeze()
}

/// Messages and groups in one another, deeper than any decoder goes.
fn nested(of: &MessageDescriptor, random: &mut ChaCha8Rng) -> Vec<u8> {
    let depth = *[90_usize, 99, 101, 500, 20_000]
        .choose(random)
        .unwrap_or(&101);
    if random.random() {
        // Groups that nobody declared.
        let mut out = Vec::new();
        for _ in 0..depth {
            varint(21 << 3 | 3, &mut out);
        }
        if random.random() {
            for _ in 0..depth {
                varint(21 << 3 | 4, &mut out);
            }
        }
        return out;
    }
    let numbers: Vec<u64> = of
        .fields()
        .filter(|field| matches!(field.kind(), Kind::Message(_)))
        .map(|field| u64::from(field.number()))
        .collect();
    let number = *numbers.choose(random).unwrap_or(&1);
    let mut out = Vec::new();
    for _ in 0..depth.min(2_000) {
        let mut next = Vec::with_capacity(out.len() + 8);
        varint(number << 3 | 2, &mut next);
        varint(out.len() as u64, &mut next);
        next.extend(out);
        out = next;
    }
    out
}

/// As many fields as a message may hold: unknown ones, or one that is known again and again.
fn many(of: &MessageDescriptor, random: &mut ChaCha8Rng) -> Vec<u8> {
    let count = *[1_000_usize, 20_000, 200_000]
        .choose(random)
        .unwrap_or(&1_000);
    let all: Vec<_> = of.fields().collect();
    let number = match all.choose(random) {
        Some(field) if random.random() => u64::from(field.number()),
        _ => random.random_range(30..500),
    };
    let wire = *[0_u64, 2, 2].choose(random).unwrap_or(&0);
    let mut one = Vec::new();
    varint(number << 3 | wire, &mut one);
    if wire == 0 {
        one.push(1);
    } else {
        let inner = noise(random, 8);
        varint(inner.len() as u64, &mut one);
        one.extend(inner);
    }
    one.repeat(count)
}

/// Paths that nobody serves and headers that make no sense.
fn headers(case: &mut Case, method: &Method, random: &mut ChaCha8Rng) {
    let long = "x".repeat(2_000);
    match random.random_range(0..7) {
        0 => case.path = format!("{}x", method.path),
        1 => case.path = "/regard.customer.v9.CustomerService/GetCustomer".to_owned(),
        2 => case.headers.push(("traceparent", text_header(random))),
        3 => case.headers.push(("x-request-id", long)),
        4 => case
            .headers
            .push(("details-bin", "!!!not base64!!!".to_owned())),
        5 => case
            .headers
            .push(("grpc-accept-encoding", "nonsense,,;".to_owned())),
        _ => case.headers.push(("grpc-timeout", text_header(random))),
    }
}

fn text_header(random: &mut ChaCha8Rng) -> String {
    let parts = [
        "1S",
        "0n",
        "99999999H",
        "-1S",
        "1",
        "S",
        "1.5S",
        "00-0-0-00",
        "00-",
        "zz",
        " ",
    ];
    (*parts.choose(random).unwrap_or(&"x")).to_owned()
}
