//! Bad requests of any RPC, made from the contract's own descriptors and rules, so that an RPC or a rule that is added later
//! is covered without a word here.

use std::collections::{BTreeSet, HashMap};

use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MapKey,
    MessageDescriptor, ReflectMessage as _, Value,
};

/// A text of 36 characters that is a UUID.
const UUID: &str = "0190b3a1-7c3d-7c3d-8c3d-0190b3a17c3d";

/// Texts of which some one satisfies any pattern of the contract.
const TEXTS: [&str; 9] = [
    "shop",
    "USD",
    "operations/0190b3a1-7c3d-7c3d-8c3d-0190b3a17c3d",
    "a",
    "UTC",
    UUID,
    "x_1",
    "order.read",
    "rgd_aaaaaaaaaaaa",
];

/// The contract, for reading.
pub struct Contract {
    pool: DescriptorPool,
    rules: ExtensionDescriptor,
    oneof_rules: ExtensionDescriptor,
}

/// One thing wrong in a request.
#[derive(Clone)]
pub struct Wrong {
    /// The path of the field, as an error names it.
    pub path: String,
    /// What is wrong.
    pub what: String,
    steps: Vec<FieldDescriptor>,
    value: Option<Value>,
    /// Further members of oneofs above the field: a sound one is set first.
    others: Vec<(Vec<FieldDescriptor>, Value)>,
}

/// Where in a request a field or a message stands.
#[derive(Clone, Default)]
struct Place {
    path: String,
    steps: Vec<FieldDescriptor>,
    others: Vec<(Vec<FieldDescriptor>, Value)>,
}

impl Contract {
    /// Reads the descriptors.
    ///
    /// # Panics
    /// When they are unsound.
    #[must_use]
    pub fn read() -> Self {
        let pool = DescriptorPool::decode(regard_proto::FILE_DESCRIPTOR_SET).unwrap();
        let rules = pool.get_extension_by_name("buf.validate.field").unwrap();
        let oneof_rules = pool.get_extension_by_name("buf.validate.oneof").unwrap();
        Self {
            pool,
            rules,
            oneof_rules,
        }
    }

    /// A message type by its full name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn message(&self, name: &str) -> MessageDescriptor {
        self.pool.get_message_by_name(name).unwrap()
    }

    fn rules(&self, field: &FieldDescriptor) -> Rules {
        let options = field.options();
        let given = options
            .has_extension(&self.rules)
            .then(|| options.get_extension(&self.rules));
        Rules(given.and_then(|rules| rules.as_message().cloned()))
    }

    /// A message that breaks no rule.
    #[must_use]
    pub fn sound(&self, of: &MessageDescriptor) -> DynamicMessage {
        let mut out = DynamicMessage::new(of.clone());
        for field in of.fields() {
            if is_first(&field)
                && let Some(value) = self.sound_value(&field)
            {
                out.set_field(&field, value);
            }
        }
        out
    }

    fn sound_value(&self, field: &FieldDescriptor) -> Option<Value> {
        if field.is_map() {
            return None;
        }
        let rules = self.rules(field);
        if field.is_list() {
            let item = match field.kind() {
                Kind::Message(message) => Value::Message(self.sound_message(&message)?),
                Kind::String => Value::String(text(&rules.of("repeated").of("items"))),
                _ => return None,
            };
            return Some(Value::List(vec![item]));
        }
        Some(match field.kind() {
            Kind::Message(message) => Value::Message(self.sound_message(&message)?),
            Kind::String => Value::String(text(&rules)),
            Kind::Bool => Value::Bool(false),
            Kind::Int32 => Value::I32(1),
            Kind::Int64 => Value::I64(1),
            Kind::Uint32 => Value::U32(1),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(1),
            Kind::Double => Value::F64(1.0),
            Kind::Enum(_) => Value::EnumNumber(1),
            Kind::Bytes => {
                let rules = rules.of("bytes");
                let count = rules.number("len").or(rules.number("min_len")).unwrap_or(1);
                Value::Bytes(vec![7; usize::try_from(count).unwrap_or(1)].into())
            }
            _ => return None,
        })
    }

    fn sound_message(&self, of: &MessageDescriptor) -> Option<DynamicMessage> {
        let set = |parts: &[(&str, Value)]| {
            let mut out = DynamicMessage::new(of.clone());
            for (name, value) in parts {
                out.set_field_by_name(name, value.clone());
            }
            Some(out)
        };
        match of.full_name() {
            "google.protobuf.Timestamp" => set(&[("seconds", Value::I64(1_770_000_000))]),
            "google.protobuf.Duration" => set(&[("seconds", Value::I64(1))]),
            "google.type.Date" => set(&[
                ("year", Value::I32(2026)),
                ("month", Value::I32(1)),
                ("day", Value::I32(1)),
            ]),
            "google.type.Money" => set(&[
                ("currency_code", Value::String("USD".to_owned())),
                ("units", Value::I64(1)),
            ]),
            "google.protobuf.FieldMask" => None,
            _ => Some(self.sound(of)),
        }
    }

    /// Everything that can be wrong in a request of this type, one by one.
    #[must_use]
    pub fn wrongs(&self, of: &MessageDescriptor) -> Vec<Wrong> {
        let mut out = Vec::new();
        self.collect(of, &Place::default(), &mut out);
        out
    }

    /// Values that lie just on a limit of a rule, one by one: the contract takes them.
    #[must_use]
    pub fn limits(&self, of: &MessageDescriptor) -> Vec<Wrong> {
        let mut out = Vec::new();
        self.collect_limits(of, &Place::default(), &mut out);
        out
    }

    /// A field of the message at a place.
    fn place(&self, before: &Place, field: &FieldDescriptor) -> Place {
        let mut place = before.clone();
        let dot = if before.path.is_empty() { "" } else { "." };
        place.path = format!("{}{dot}{}", before.path, field.name());
        place.steps.push(field.clone());
        if !is_first(field)
            && let Some(value) = self.sound_value(field)
        {
            place.others.push((place.steps.clone(), value));
        }
        place
    }

    /// The message of a field, whose own fields the contract rules.
    fn below(field: &FieldDescriptor, place: &Place) -> Option<(MessageDescriptor, Place)> {
        let Kind::Message(message) = field.kind() else {
            return None;
        };
        if field.is_map() || message.full_name().starts_with("google.") {
            return None;
        }
        let mut place = place.clone();
        if field.is_list() {
            place.path.push_str("[0]");
        }
        Some((message, place))
    }

    fn collect_limits(&self, of: &MessageDescriptor, before: &Place, out: &mut Vec<Wrong>) {
        for field in of.fields() {
            let place = self.place(before, &field);
            let rules = self.rules(&field);
            let values = if field.is_map() {
                map_limits(&rules.of("map"))
            } else if field.is_list() {
                self.list_limits(&field, &rules)
            } else {
                scalar_limits(&field, &rules)
            };
            out.extend(values.into_iter().map(|value| Wrong {
                path: place.path.clone(),
                what: "on a limit".to_owned(),
                steps: place.steps.clone(),
                value: Some(value),
                others: place.others.clone(),
            }));
            if let Some((message, place)) = Self::below(&field, &place) {
                self.collect_limits(&message, &place, out);
            }
        }
    }

    /// The rules that the contract's messages use, such as `string.max_len`, and the names of its own expressions.
    #[must_use]
    pub fn rule_names(&self) -> BTreeSet<String> {
        let mut out = BTreeSet::new();
        let messages = self.pool.all_messages();
        for message in messages.filter(|m| m.full_name().starts_with("regard.")) {
            for field in message.fields() {
                if let Some(rules) = self.rules(&field).0 {
                    names("", &rules, &mut out);
                }
            }
        }
        out
    }

    fn list_limits(&self, field: &FieldDescriptor, rules: &Rules) -> Vec<Value> {
        let repeated = rules.of("repeated");
        let Some(Value::List(one)) = self.sound_value(field) else {
            return Vec::new();
        };
        ["min_items", "max_items"]
            .iter()
            .filter_map(|rule| usize::try_from(repeated.number(rule)?).ok())
            .filter_map(|count| {
                if repeated.flag("unique") {
                    let text = |number| Value::String(format!("a{number}"));
                    return Some(Value::List((0..count).map(text).collect()));
                }
                Some(Value::List(vec![one.first()?.clone(); count]))
            })
            .collect()
    }

    fn collect(&self, of: &MessageDescriptor, before: &Place, out: &mut Vec<Wrong>) {
        for oneof in of.oneofs() {
            let options = oneof.options();
            let required = options
                .get_extension(&self.oneof_rules)
                .as_message()
                .is_some_and(|rules| {
                    rules
                        .get_field_by_name("required")
                        .is_some_and(|v| v.as_bool() == Some(true))
                });
            if required && let Some(first) = oneof.fields().next() {
                // The oneof, or the message that lacks it, is named.
                out.push(Wrong {
                    path: before.path.clone(),
                    what: format!("none of {}", oneof.name()),
                    steps: [before.steps.as_slice(), &[first]].concat(),
                    value: None,
                    others: before.others.clone(),
                });
            }
        }
        for field in of.fields() {
            let place = self.place(before, &field);
            let rules = self.rules(&field);
            let mut add = |what: &str, value: Option<Value>| {
                out.push(Wrong {
                    path: place.path.clone(),
                    what: what.to_owned(),
                    steps: place.steps.clone(),
                    value,
                    others: place.others.clone(),
                });
            };
            if rules.flag("required") {
                add("absent", None);
            }
            if field.is_map() {
                for (what, value) in maps(&rules.of("map")) {
                    add(what, Some(value));
                }
            } else if field.is_list() {
                self.lists(&field, &rules, &mut add);
            } else {
                for (what, value) in scalars(&field, &rules) {
                    add(what, Some(value));
                }
            }
            if let Some((message, place)) = Self::below(&field, &place) {
                self.collect(&message, &place, out);
            }
        }
    }

    fn lists(
        &self,
        field: &FieldDescriptor,
        rules: &Rules,
        add: &mut impl FnMut(&str, Option<Value>),
    ) {
        let repeated = rules.of("repeated");
        if repeated.number("min_items").is_some_and(|n| n > 0) {
            add("no items", None);
        }
        let Some(Value::List(one)) = self.sound_value(field) else {
            return;
        };
        if let Some(most) = repeated.number("max_items") {
            let most = usize::try_from(most).unwrap_or(0);
            add(
                "too many items",
                Some(Value::List(vec![one[0].clone(); most + 1])),
            );
        }
        if repeated.flag("unique") {
            add(
                "an item twice",
                Some(Value::List(vec![one[0].clone(), one[0].clone()])),
            );
        }
        if matches!(field.kind(), Kind::String) && repeated.of("items").0.is_some() {
            add(
                "a bad item",
                Some(Value::List(vec![Value::String(String::new())])),
            );
        }
    }
}

/// Whether a field is the member of its oneof that a sound message has.
fn is_first(field: &FieldDescriptor) -> bool {
    field
        .containing_oneof()
        .is_none_or(|o| o.is_synthetic() || o.fields().next().as_ref() == Some(field))
}

/// The names of rules that are set, in depth.
fn names(before: &str, rules: &DynamicMessage, out: &mut BTreeSet<String>) {
    for (field, value) in rules.fields() {
        let name = format!("{before}{}", field.name());
        match value {
            Value::Message(inner) if inner.descriptor().full_name().starts_with("buf.") => {
                names(&format!("{name}."), inner, out);
            }
            Value::List(items) if field.name() == "cel" => {
                let id = |item: &Value| {
                    item.as_message()?
                        .get_field_by_name("id")?
                        .as_str()
                        .map(str::to_owned)
                };
                out.extend(items.iter().filter_map(id).map(|id| format!("{name} {id}")));
            }
            _ => {
                out.insert(name);
            }
        }
    }
}

fn pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Value {
    let pair = |(key, value)| (MapKey::String(key), Value::String(value));
    Value::Map(pairs.into_iter().map(pair).collect::<HashMap<_, _>>())
}

/// So many pairs, each of them sound.
fn many(count: usize) -> Value {
    pairs((0..count).map(|number| (format!("a{number}"), "shop".to_owned())))
}

/// Wrong maps of texts.
fn maps(rules: &Rules) -> Vec<(&'static str, Value)> {
    let mut out = Vec::new();
    if let Some(most) = rules.number("max_pairs") {
        let most = usize::try_from(most).unwrap_or(0);
        out.push(("too many pairs", many(most + 1)));
    }
    for part in ["keys", "values"] {
        let rules = rules.of(part).of("string");
        let mut add = |what, bad: String| {
            let (mut key, mut value) = ("shop".to_owned(), "shop".to_owned());
            *(if part == "keys" { &mut key } else { &mut value }) = bad;
            out.push((what, pairs([(key, value)])));
        };
        if let Some(most) = rules.number("max_len") {
            let most = usize::try_from(most).unwrap_or(0);
            add("a long text in a map", "a".repeat(most + 1));
        }
        if rules.number("min_len").is_some_and(|least| least > 0) {
            add("an empty text in a map", String::new());
        }
        if rules.value("pattern").is_some() {
            add("a text in a map, not of the pattern", "!\u{e9}".to_owned());
        }
        if rules.0.is_some() {
            add(
                "characters that no text has, in a map",
                "a\u{1b}b".to_owned(),
            );
        }
    }
    out
}

/// Maps on the limits of their rules.
fn map_limits(rules: &Rules) -> Vec<Value> {
    let mut out = Vec::new();
    if let Some(most) = rules.number("max_pairs") {
        out.push(many(usize::try_from(most).unwrap_or(0)));
    }
    for part in ["keys", "values"] {
        for rule in ["min_len", "max_len"] {
            let rules = rules.of(part).of("string");
            let Some(count) = rules.number(rule).and_then(|n| usize::try_from(n).ok()) else {
                continue;
            };
            let (text, shop) = ("a".repeat(count), "shop".to_owned());
            let pair = if part == "keys" {
                (text, shop)
            } else {
                (shop, text)
            };
            out.push(pairs([pair]));
        }
    }
    out
}

/// The rules of a field.
struct Rules(Option<DynamicMessage>);

impl Rules {
    fn of(&self, name: &str) -> Rules {
        let part = self
            .0
            .as_ref()
            .filter(|m| m.has_field_by_name(name))
            .and_then(|m| m.get_field_by_name(name));
        Rules(part.and_then(|v| v.as_message().cloned()))
    }

    fn value(&self, name: &str) -> Option<Value> {
        let message = self.0.as_ref().filter(|m| m.has_field_by_name(name))?;
        message
            .get_field_by_name(name)
            .map(std::borrow::Cow::into_owned)
    }

    fn flag(&self, name: &str) -> bool {
        self.value(name).and_then(|v| v.as_bool()).unwrap_or(false)
    }

    fn number(&self, name: &str) -> Option<i64> {
        match self.value(name)? {
            Value::I32(n) => Some(i64::from(n)),
            Value::I64(n) => Some(n),
            Value::U32(n) => Some(i64::from(n)),
            Value::U64(n) => i64::try_from(n).ok(),
            _ => None,
        }
    }
}

/// A text that satisfies the rules.
fn text(rules: &Rules) -> String {
    let rules = if rules
        .0
        .as_ref()
        .is_some_and(|m| m.descriptor().full_name() == "buf.validate.StringRules")
    {
        Rules(rules.0.clone())
    } else {
        rules.of("string")
    };
    if rules.flag("uuid") {
        return UUID.to_owned();
    }
    match rules.value("pattern") {
        Some(Value::String(pattern)) => {
            let pattern = regex::Regex::new(&pattern).unwrap();
            match TEXTS.iter().find(|text| pattern.is_match(text)) {
                Some(text) => (*text).to_owned(),
                None => {
                    let text = sample(&regex_syntax::parse(pattern.as_str()).unwrap());
                    assert!(pattern.is_match(&text), "{text:?} does not fit {pattern}");
                    text
                }
            }
        }
        _ => "shop".to_owned(),
    }
}

/// Values on the limits of a field's rules.
fn scalar_limits(field: &FieldDescriptor, rules: &Rules) -> Vec<Value> {
    let ends = |rules: &Rules| -> Vec<i64> {
        [("gte", 0), ("lte", 0), ("gt", 1), ("lt", -1)]
            .iter()
            .filter_map(|(rule, off)| rules.number(rule)?.checked_add(*off))
            .collect()
    };
    match field.kind() {
        Kind::String => {
            let rules = rules.of("string");
            if rules.flag("uuid") {
                return Vec::new();
            }
            if let Some(Value::String(pattern)) = rules.value("pattern") {
                // As long as may be, where the pattern lets a text grow.
                let Some(most) = rules
                    .number("max_len")
                    .and_then(|n| usize::try_from(n).ok())
                else {
                    return Vec::new();
                };
                let mut long = text(&rules);
                if let Some(last) = long.chars().last() {
                    long.extend(std::iter::repeat_n(
                        last,
                        most.saturating_sub(long.chars().count()),
                    ));
                }
                let fits = regex::Regex::new(&pattern).unwrap().is_match(&long);
                return if fits {
                    vec![Value::String(long)]
                } else {
                    Vec::new()
                };
            }
            ["min_len", "max_len"]
                .iter()
                .filter_map(|rule| usize::try_from(rules.number(rule)?).ok())
                .flat_map(|count| {
                    [
                        Value::String("a".repeat(count)),
                        Value::String("é".repeat(count)),
                    ]
                })
                .collect()
        }
        Kind::Bytes => {
            let rules = rules.of("bytes");
            ["len", "min_len", "max_len"]
                .iter()
                .filter_map(|rule| usize::try_from(rules.number(rule)?).ok())
                .map(|count| Value::Bytes(vec![7; count].into()))
                .collect()
        }
        Kind::Int32 => ends(&rules.of("int32"))
            .into_iter()
            .filter_map(|n| i32::try_from(n).ok().map(Value::I32))
            .collect(),
        Kind::Int64 => ends(&rules.of("int64"))
            .into_iter()
            .map(Value::I64)
            .collect(),
        Kind::Uint32 => ends(&rules.of("uint32"))
            .into_iter()
            .filter_map(|n| u32::try_from(n).ok().map(Value::U32))
            .collect(),
        Kind::Uint64 => ends(&rules.of("uint64"))
            .into_iter()
            .filter_map(|n| u64::try_from(n).ok().map(Value::U64))
            .collect(),
        Kind::Enum(of) => {
            let numbers = of.values().map(|value| value.number());
            numbers.map(Value::EnumNumber).collect()
        }
        Kind::Message(message) => known_limits(&message, rules),
        _ => Vec::new(),
    }
}

/// A short text that an expression takes.
fn sample(of: &regex_syntax::hir::Hir) -> String {
    use regex_syntax::hir::{Class, HirKind};
    match of.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(Class::Bytes(_)) => String::new(),
        HirKind::Literal(literal) => String::from_utf8_lossy(&literal.0).into_owned(),
        HirKind::Class(Class::Unicode(class)) => {
            let plain = class
                .ranges()
                .iter()
                .map(regex_syntax::hir::ClassUnicodeRange::start);
            let letter = plain.clone().find(char::is_ascii_alphanumeric);
            letter
                .or_else(|| plain.clone().next())
                .map(String::from)
                .unwrap_or_default()
        }
        HirKind::Repetition(one) => {
            let count = one.min.max(1).min(one.max.unwrap_or(u32::MAX));
            sample(&one.sub).repeat(count as usize)
        }
        HirKind::Capture(one) => sample(&one.sub),
        HirKind::Concat(all) => all.iter().map(sample).collect(),
        HirKind::Alternation(all) => all.first().map(sample).unwrap_or_default(),
    }
}

fn scalars(field: &FieldDescriptor, rules: &Rules) -> Vec<(&'static str, Value)> {
    let mut out = Vec::new();
    match field.kind() {
        Kind::String => {
            let rules = rules.of("string");
            if let Some(most) = rules.number("max_len") {
                out.push((
                    "too long",
                    Value::String("a".repeat(usize::try_from(most).unwrap_or(0) + 1)),
                ));
            }
            if rules.number("min_len").is_some_and(|least| least > 0) {
                out.push(("empty", Value::String(String::new())));
            }
            if rules.flag("uuid") {
                out.push(("no UUID", Value::String("0190b3a1-no-uuid".to_owned())));
            }
            if rules.value("pattern").is_some() {
                out.push((
                    "not of the pattern",
                    Value::String("!\u{7f}\u{e9}".to_owned()),
                ));
            }
            // Of any text: control characters and what is no character.
            for bad in ["a\0b", "a\u{1b}b", "a\u{fdd0}b"] {
                out.push(("characters that no text has", Value::String(bad.to_owned())));
            }
        }
        Kind::Bytes => {
            let rules = rules.of("bytes");
            let sized =
                |count: i64| Value::Bytes(vec![7; usize::try_from(count).unwrap_or(0)].into());
            if let Some(exact) = rules.number("len") {
                out.push(("too short", sized(exact - 1)));
                out.push(("too long", sized(exact + 1)));
            }
            if let Some(most) = rules.number("max_len") {
                out.push(("too long", sized(most + 1)));
            }
            if let Some(least) = rules.number("min_len").filter(|least| *least > 0) {
                out.push(("too short", sized(least - 1)));
            }
        }
        Kind::Enum(_) => {
            out.push(("unknown number", Value::EnumNumber(9_999)));
            out.push(("negative number", Value::EnumNumber(-1)));
            if let Some(Value::List(not)) = rules.of("enum").value("not_in") {
                let number = |value: &Value| value.as_i32().map(Value::EnumNumber);
                out.extend(
                    not.iter()
                        .filter_map(number)
                        .map(|value| ("a number that is no choice", value)),
                );
            }
        }
        Kind::Int32 => {
            let rules = rules.of("int32");
            let number = |n: i64| i32::try_from(n).unwrap_or(i32::MAX);
            if let Some(least) = rules.number("gte") {
                out.push(("too small", Value::I32(number(least) - 1)));
            }
            if let Some(most) = rules.number("lte") {
                out.push(("too large", Value::I32(number(most) + 1)));
            }
        }
        Kind::Int64 => {
            let rules = rules.of("int64");
            if let Some(least) = rules.number("gte") {
                out.push(("too small", Value::I64(least - 1)));
                out.push(("the smallest", Value::I64(i64::MIN)));
            }
            if let Some(most) = rules.number("lte") {
                out.push(("too large", Value::I64(most + 1)));
            }
        }
        Kind::Uint32 => {
            if let Some(most) = rules.of("uint32").number("lte") {
                out.push((
                    "too large",
                    Value::U32(u32::try_from(most).unwrap_or(0) + 1),
                ));
            }
        }
        Kind::Uint64 => {
            if rules.of("uint64").value("lte").is_some() {
                out.push(("too large", Value::U64(u64::MAX)));
            }
        }
        Kind::Double => {
            if rules.of("double").flag("finite") {
                out.extend([
                    ("not a number", Value::F64(f64::NAN)),
                    ("infinite", Value::F64(f64::INFINITY)),
                ]);
            }
        }
        Kind::Message(message) => out.extend(known(&message, rules)),
        _ => {}
    }
    out
}

/// Days, times, durations and amounts on the limits of the contract's rules.
fn known_limits(message: &MessageDescriptor, rules: &Rules) -> Vec<Value> {
    let of = |parts: &[(&str, Value)]| {
        let mut out = DynamicMessage::new(message.clone());
        for (name, value) in parts {
            out.set_field_by_name(name, value.clone());
        }
        Value::Message(out)
    };
    let date = |year, month, day| {
        of(&[
            ("year", Value::I32(year)),
            ("month", Value::I32(month)),
            ("day", Value::I32(day)),
        ])
    };
    let time = |(seconds, nanos)| {
        of(&[
            ("seconds", Value::I64(seconds)),
            ("nanos", Value::I32(nanos)),
        ])
    };
    // What a rule of times or durations says, moved by a nanosecond where it is not itself taken.
    let told = |rules: &Rules| -> Vec<(i64, i32)> {
        let of = |rule: &str| {
            let parts = rules.of(rule);
            let seconds = parts.0.as_ref()?.get_field_by_name("seconds")?.as_i64()?;
            Some((
                seconds,
                parts.0.as_ref()?.get_field_by_name("nanos")?.as_i32()?,
            ))
        };
        let under = of("lt").map(|(seconds, nanos)| {
            if nanos > 0 {
                (seconds, nanos - 1)
            } else {
                (seconds - 1, 999_999_999)
            }
        });
        let over = of("gt").map(|(seconds, nanos)| (seconds, nanos + 1));
        [of("gte"), of("lte"), under, over]
            .into_iter()
            .flatten()
            .collect()
    };
    match message.full_name() {
        "google.type.Date" if rules.0.is_some() => vec![date(1900, 1, 1), date(2099, 12, 31)],
        "google.protobuf.Timestamp" => told(&rules.of("timestamp")).into_iter().map(time).collect(),
        "google.protobuf.Duration" => told(&rules.of("duration")).into_iter().map(time).collect(),
        "google.type.Money" if rules.0.is_some() => vec![of(&[
            ("currency_code", Value::String("USD".to_owned())),
            ("units", Value::I64(0)),
        ])],
        _ => Vec::new(),
    }
}

/// Wrong days, times, durations and amounts.
fn known(message: &MessageDescriptor, rules: &Rules) -> Vec<(&'static str, Value)> {
    let of = |parts: &[(&str, Value)]| {
        let mut out = DynamicMessage::new(message.clone());
        for (name, value) in parts {
            out.set_field_by_name(name, value.clone());
        }
        Value::Message(out)
    };
    let date = |year, month, day| {
        of(&[
            ("year", Value::I32(year)),
            ("month", Value::I32(month)),
            ("day", Value::I32(day)),
        ])
    };
    let time = |seconds, nanos| {
        of(&[
            ("seconds", Value::I64(seconds)),
            ("nanos", Value::I32(nanos)),
        ])
    };
    let ruled = rules.0.is_some();
    match message.full_name() {
        "google.type.Date" if ruled => vec![
            ("before 1900", date(1899, 12, 31)),
            ("far in the future", date(2100, 1, 1)),
            ("the smallest year", date(i32::MIN, 1, 1)),
        ],
        "google.protobuf.Timestamp" if rules.of("timestamp").0.is_some() => vec![
            ("before 1900", time(-2_208_988_801, 0)),
            ("far in the future", time(4_102_444_800, 0)),
            ("the largest time", time(i64::MAX, 0)),
        ],
        "google.protobuf.Duration" if rules.of("duration").0.is_some() => {
            vec![("negative", time(-1, 0)), ("too long", time(100_000, 0))]
        }
        "google.type.Money" if ruled => vec![
            (
                "negative",
                of(&[
                    ("currency_code", Value::String("USD".to_owned())),
                    ("units", Value::I64(-1)),
                ]),
            ),
            (
                "negative part",
                of(&[
                    ("currency_code", Value::String("USD".to_owned())),
                    ("nanos", Value::I32(-1)),
                ]),
            ),
        ],
        _ => Vec::new(),
    }
}

impl Wrong {
    /// Makes a message wrong in this way.
    pub fn apply(&self, message: &mut DynamicMessage) {
        for (steps, value) in &self.others {
            set(message, steps, Some(value));
        }
        set(message, &self.steps, self.value.as_ref());
    }

    /// Whether it can stand beside others: it takes no other member of a oneof than a sound message has.
    #[must_use]
    pub fn stands_beside(&self) -> bool {
        self.others.is_empty()
    }

    /// Whether an error that names this field names the wrong one.
    #[must_use]
    pub fn named_by(&self, field: &str) -> bool {
        field == self.path
            || field
                .strip_prefix(&self.path)
                .is_some_and(|rest| self.path.is_empty() || rest.starts_with(['.', '[']))
    }
}

fn set(message: &mut DynamicMessage, steps: &[FieldDescriptor], value: Option<&Value>) {
    match steps {
        [] => {}
        [last] => match value {
            Some(value) => message.set_field(last, value.clone()),
            None => message.clear_field(last),
        },
        [first, rest @ ..] => match message.get_field_mut(first) {
            Value::Message(inner) => set(inner, rest, value),
            Value::List(items) => {
                if let Some(Value::Message(inner)) = items.first_mut() {
                    set(inner, rest, value);
                }
            }
            _ => {}
        },
    }
}
