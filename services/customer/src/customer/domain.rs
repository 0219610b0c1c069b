//! A customer: a key, traits, and an identity that is kept apart from everything that is measured.

use std::collections::BTreeMap;
use std::fmt;

use regard_types::record::Head;
use regard_types::{CustomerId, Day, IdKey, Micros, SourceKey};

/// What sort of customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CustomerKind {
    /// A natural person.
    #[default]
    Person,
    /// A company or other organisation.
    Organisation,
}

impl CustomerKind {
    /// As stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Organisation => "organisation",
        }
    }

    /// Reads what was stored.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Person, Self::Organisation]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// Names and contact points; empty where not known. Never logged.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The name to show.
    pub display_name: String,
    /// E-mail address.
    pub email: String,
    /// Telephone number.
    pub phone: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(***)")
    }
}

impl Identity {
    /// Nothing is known.
    pub fn is_empty(&self) -> bool {
        self.display_name.is_empty() && self.email.is_empty() && self.phone.is_empty()
    }

    /// The normalised values by which the customer can be found: (kind, value). Sorted, without doubles.
    pub fn lookups(&self) -> Vec<(Lookup, String)> {
        let mut out = Vec::new();
        out.extend(normal_email(&self.email).map(|v| (Lookup::Email, v)));
        out.extend(normal_phone(&self.phone).map(|v| (Lookup::Phone, v)));
        let words = name_words(&self.display_name);
        out.extend(words.into_iter().map(|v| (Lookup::Name, v)));
        out
    }
}

/// By what a customer can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lookup {
    /// The whole e-mail address.
    Email,
    /// The digits of the telephone number.
    Phone,
    /// One word of the name.
    Name,
}

impl Lookup {
    /// As stored, and the kind of the keyed digest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Name => "name",
        }
    }
}

/// An address as compared: trimmed, lower case. None if nothing is left.
pub fn normal_email(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    (!text.is_empty()).then_some(text)
}

/// A number as compared: its digits, with a leading `+` kept and `00` read as `+`. None if there is no digit.
pub fn normal_phone(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() {
        return None;
    }
    if text.trim_start().starts_with('+') {
        return Some(format!("+{digits}"));
    }
    match digits.strip_prefix("00") {
        Some(rest) if !rest.is_empty() => Some(format!("+{rest}")),
        _ => Some(digits),
    }
}

/// The words of a name as compared: lower case, split at whatever is no letter, digit or apostrophe; sorted.
pub fn name_words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let mut words: Vec<String> = lower
        .split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    words.sort();
    words.dedup();
    words
}

/// What can be changed of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profile {
    /// Person or organisation.
    pub kind: CustomerKind,
    /// Coded or banded traits.
    pub attributes: BTreeMap<String, String>,
    /// The day of becoming a customer.
    pub since: Option<Day>,
    /// Names and contact points.
    pub identity: Identity,
}

impl Profile {
    /// One unambiguous text of bytes for the keyed digest by which versions are compared: every part with its length.
    pub fn content(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        let mut part = |text: &str| {
            out.extend_from_slice(&(text.len() as u64).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        };
        part(self.kind.as_str());
        part(&self.since.map(|day| day.0.to_string()).unwrap_or_default());
        part(&self.identity.display_name);
        part(&self.identity.email);
        part(&self.identity.phone);
        for (name, value) in &self.attributes {
            part(name);
            part(value);
        }
        out
    }
}

/// A customer as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// Arrival id.
    pub id: CustomerId,
    /// Where it came from; fixed.
    pub key: Option<SourceKey>,
    /// What can be changed.
    pub profile: Profile,
    /// The revision of its source that was taken last, 0 for none.
    pub revision: i64,
    /// Keyed digest of the profile's content.
    pub content: [u8; 32],
    /// Version and times.
    pub head: Head,
}

impl Customer {
    /// A customer of whom only the key is known.
    pub fn of_key(id: CustomerId, key: SourceKey, ids: &IdKey, now: Micros) -> Self {
        NewCustomer::new(id, Some(key), Profile::default(), 0, ids).first(now)
    }
}

/// A customer as a caller gives it.
#[derive(Debug, Clone)]
pub struct NewCustomer {
    /// Follows from the key, if there is one; else random.
    pub id: CustomerId,
    /// Where it comes from.
    pub key: Option<SourceKey>,
    /// Everything else.
    pub profile: Profile,
    /// Of its source, 0 for none.
    pub revision: i64,
    /// Keyed digest of the profile's content.
    pub content: [u8; 32],
}

impl NewCustomer {
    /// With the digest of its content.
    pub fn new(
        id: CustomerId,
        key: Option<SourceKey>,
        profile: Profile,
        revision: i64,
        ids: &IdKey,
    ) -> Self {
        Self {
            content: ids.digest("customer content", &profile.content()),
            id,
            key,
            profile,
            revision,
        }
    }

    /// Its first version.
    pub fn first(&self, now: Micros) -> Customer {
        Customer {
            id: self.id,
            key: self.key.clone(),
            profile: self.profile.clone(),
            revision: self.revision,
            content: self.content,
            head: Head::first(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_ups_compare_what_people_mean() {
        assert_eq!(
            normal_email("  Ann@Example.ORG "),
            Some("ann@example.org".into())
        );
        assert_eq!(normal_email("   "), None);
        assert_eq!(normal_phone("+49 (0)30 123-45"), Some("+4903012345".into()));
        assert_eq!(normal_phone("0049 30 12345"), Some("+493012345".into()));
        assert_eq!(normal_phone("030 12345"), Some("03012345".into()));
        assert_eq!(normal_phone("none"), None);
        assert_eq!(normal_phone("00"), Some("00".into()));
        assert_eq!(
            name_words("Ann-Marie O'Neil, ann"),
            ["ann", "marie", "o'neil"]
        );
        assert_eq!(name_words(" ÉMILE  李雷 "), ["émile", "李雷"]);
    }

    #[test]
    fn content_is_unambiguous() {
        let with = |name: &str, email: &str| Profile {
            identity: Identity {
                display_name: name.into(),
                email: email.into(),
                phone: String::new(),
            },
            ..Profile::default()
        };
        assert_ne!(with("ab", "c").content(), with("a", "bc").content());
        let mut traits = with("a", "b");
        traits.attributes.insert("x".into(), "1".into());
        assert_ne!(traits.content(), with("a", "b").content());
        assert_eq!(traits.content(), traits.clone().content());
    }

    #[test]
    fn identity_is_never_printed() {
        let identity = Identity {
            display_name: "Ann".into(),
            email: "ann@example.org".into(),
            phone: "1".into(),
        };
        assert_eq!(format!("{identity:?}"), "Identity(***)");
    }
}
