//! The formats of the standard: host names, addresses, URIs, headers, ids.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// True for a UUID as text with hyphens, in either case.
#[must_use]
pub fn uuid(text: &str) -> bool {
    let text = text.as_bytes();
    text.len() == 36
        && text.iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// True for a UUID as 32 hexadecimal digits.
#[must_use]
pub fn tuuid(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// True for a ULID: 26 letters and digits of Crockford's base 32, of which the first is at most 7.
#[must_use]
pub fn ulid(text: &str) -> bool {
    text.len() == 26
        && matches!(text.as_bytes().first(), Some(b'0'..=b'7'))
        && text.bytes().all(|byte| {
            byte.is_ascii_alphanumeric()
                && !matches!(byte.to_ascii_uppercase(), b'I' | b'L' | b'O' | b'U')
        })
}

/// True for a full Protobuf name (`a.b.C`).
#[must_use]
pub fn protobuf_name(text: &str) -> bool {
    text.split('.').all(|part| {
        let mut bytes = part.bytes();
        bytes
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// True for an e-mail address as the HTML standard defines it.
#[must_use]
pub fn email(text: &str) -> bool {
    let Some((user, host)) = text.split_once('@') else {
        return false;
    };
    let user_ok =
        |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    !user.is_empty() && user.bytes().all(user_ok) && host.split('.').all(label)
}

/// A label of a host name: 1 to 63 letters, digits and hyphens, no hyphen at either end.
fn label(part: &str) -> bool {
    (1..=63).contains(&part.len())
        && part
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !part.starts_with('-')
        && !part.ends_with('-')
}

/// True for a host name of RFC 1034: at most 253 characters and a dot at the end, the last label not all digits.
#[must_use]
pub fn hostname(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.len() > 253 {
        return false;
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    name.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// True for an IP address of this version, 4 or 6, or of either for 0. An IPv6 address may name its zone.
#[must_use]
pub fn ip(text: &str, version: i64) -> bool {
    match version {
        0 => ip(text, 4) || ip(text, 6),
        4 => text.parse::<Ipv4Addr>().is_ok(),
        6 => match text.split_once('%') {
            Some((address, zone)) => {
                !zone.is_empty() && !zone.contains('\0') && address.parse::<Ipv6Addr>().is_ok()
            }
            None => text.parse::<Ipv6Addr>().is_ok(),
        },
        _ => false,
    }
}

/// True for an IP address with the length of its prefix (`10.1.0.0/16`), of this version, or of either for 0; with
/// `strict` no bit may be set behind the prefix.
#[must_use]
pub fn ip_prefix(text: &str, version: i64, strict: bool) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        return false;
    };
    let plain = length == "0"
        || (!length.starts_with('0') && length.bytes().all(|byte| byte.is_ascii_digit()));
    let (Ok(address), Some(length)) = (
        address.parse::<IpAddr>(),
        length.parse::<u32>().ok().filter(|_| plain),
    ) else {
        return false;
    };
    match address {
        IpAddr::V4(address) => {
            let behind = u32::MAX.checked_shr(length).unwrap_or(0);
            version != 6
                && (version == 0 || version == 4)
                && length <= 32
                && !(strict && u32::from(address) & behind != 0)
        }
        IpAddr::V6(address) => {
            let behind = u128::MAX.checked_shr(length).unwrap_or(0);
            (version == 0 || version == 6)
                && length <= 128
                && !(strict && u128::from(address) & behind != 0)
        }
    }
}

/// True for a host name or IP address with a port (`[::1]:80`); the port may be missing unless it is required.
#[must_use]
pub fn host_and_port(text: &str, port_required: bool) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, after)) = rest.rsplit_once(']') else {
            return false;
        };
        return ip(address, 6)
            && match after.strip_prefix(':') {
                Some(number) => port(number),
                None => after.is_empty() && !port_required,
            };
    }
    match text.rsplit_once(':') {
        Some((host, number)) => (hostname(host) || ip(host, 4)) && port(number),
        None => !port_required && (hostname(text) || ip(text, 4)),
    }
}

fn port(text: &str) -> bool {
    (text == "0" || !text.starts_with('0'))
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse::<u16>().is_ok()
}

/// True for the name of an HTTP header, strictly as RFC 7230 or at least safe to send.
#[must_use]
pub fn header_name(text: &str, strict: bool) -> bool {
    if !strict {
        return !text.is_empty() && loose(text);
    }
    let name = text.strip_prefix(':').unwrap_or(text);
    !name.is_empty()
        && name
            .bytes()
            // The comma is the standard's, whose expression has `+-.` as a range.
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+,-.^_|~`".contains(&byte))
}

/// True for the value of an HTTP header, strictly as RFC 7230 or at least safe to send.
#[must_use]
pub fn header_value(text: &str, strict: bool) -> bool {
    if strict {
        text.bytes()
            .all(|byte| byte == b'\t' || (byte >= 0x20 && byte != 0x7f))
    } else {
        loose(text)
    }
}

fn loose(text: &str) -> bool {
    !text.contains(['\0', '\n', '\r'])
}

/// True for a URI of RFC 3986, with zones of IPv6 addresses as RFC 6874 writes them.
#[must_use]
pub fn uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let mut bytes = scheme.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && after_scheme(rest, true)
}

/// True for a URI or a relative reference of RFC 3986.
#[must_use]
pub fn uri_ref(text: &str) -> bool {
    uri(text) || after_scheme(text, false)
}

/// What follows the scheme, or a relative reference: authority and path, query, fragment.
fn after_scheme(text: &str, absolute: bool) -> bool {
    let (text, fragment) = split(text, '#');
    let (path, query) = split(text, '?');
    let tail = |part: Option<&str>| {
        part.is_none_or(|part| escaped(part, |byte| pchar(byte) || byte == b'/' || byte == b'?'))
    };
    if !tail(fragment) || !tail(query) {
        return false;
    }
    match path.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find('/').unwrap_or(rest.len());
            authority(&rest[..end]) && segments(&rest[end..])
        }
        None => {
            // The first segment of a relative path must not look like a scheme.
            let first = path.split('/').next().unwrap_or(path);
            segments(path) && (absolute || !first.contains(':'))
        }
    }
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn segments(path: &str) -> bool {
    escaped(path, |byte| pchar(byte) || byte == b'/')
}

fn authority(text: &str) -> bool {
    let (user, host) = match text.split_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, text),
    };
    if !user.is_none_or(|user| {
        escaped(user, |byte| {
            unreserved(byte) || sub_delim(byte) || byte == b':'
        })
    }) {
        return false;
    }
    let (host, after) = if let Some(rest) = host.strip_prefix('[') {
        match rest.split_once(']') {
            Some((literal, after)) if ip_literal(literal) => ("", after),
            _ => return false,
        }
    } else {
        match host.split_once(':') {
            Some((name, _)) => (name, &host[name.len()..]),
            None => (host, ""),
        }
    };
    let port = match after.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => after.is_empty(),
    };
    // A registered name's escapes must be UTF-8 once they are undone.
    port && escaped(host, |byte| unreserved(byte) || sub_delim(byte)) && decoded_is_utf8(host)
}

fn ip_literal(text: &str) -> bool {
    if let Some(future) = text.strip_prefix(['v', 'V']) {
        let Some((version, rest)) = future.split_once('.') else {
            return false;
        };
        return !version.is_empty()
            && version.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !rest.is_empty()
            && rest
                .bytes()
                .all(|byte| unreserved(byte) || sub_delim(byte) || byte == b':');
    }
    match text.split_once("%25") {
        Some((address, zone)) => {
            !zone.is_empty()
                && address.parse::<Ipv6Addr>().is_ok()
                && escaped(zone, unreserved)
                && decoded_is_utf8(zone)
        }
        None => text.parse::<Ipv6Addr>().is_ok(),
    }
}

fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn sub_delim(byte: u8) -> bool {
    b"!$&'()*+,;=".contains(&byte)
}

fn pchar(byte: u8) -> bool {
    unreserved(byte) || sub_delim(byte) || byte == b':' || byte == b'@'
}

/// True where every byte is allowed or part of an escape (`%2F`).
fn escaped(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let fine = if byte == b'%' {
            let mut hex = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
            hex() && hex()
        } else {
            allowed(byte)
        };
        if !fine {
            return false;
        }
    }
    true
}

fn decoded_is_utf8(text: &str) -> bool {
    if !text.contains('%') {
        return true;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || {
                char::from(bytes.next().unwrap_or(b'0'))
                    .to_digit(16)
                    .unwrap_or(0)
            };
            let value = digit() * 16 + digit();
            out.push(u8::try_from(value).unwrap_or(0));
        } else {
            out.push(byte);
        }
    }
    std::str::from_utf8(&out).is_ok()
}
