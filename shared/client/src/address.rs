//! Where servers are, as people write it.

use http::Uri;
use http::uri::Authority;

use crate::ConnectError;

/// One or more servers of the same suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// Whether they speak TLS.
    pub(crate) secure: bool,
    pub(crate) hosts: Vec<Host>,
}

/// A name with one or more servers behind it, or the number of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// Without the brackets of IPv6.
    pub(crate) name: String,
    pub(crate) port: u16,
    /// As calls name it.
    pub(crate) authority: Authority,
}

impl Addresses {
    /// Reads `http://host:port`, `https://host:port`, or several with commas between, of which the first alone must have
    /// the scheme.
    pub(crate) fn parse(text: &str) -> Result<Self, ConnectError> {
        let wrong = || ConnectError::Address(text.to_owned());
        let mut scheme: Option<&str> = None;
        let mut hosts = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (own, rest) = match part.split_once("://") {
                Some((own, rest)) => (Some(own), rest),
                None => (scheme, part),
            };
            let own = own
                .filter(|own| matches!(*own, "http" | "https"))
                .ok_or_else(wrong)?;
            if scheme.is_some_and(|first| first != own) {
                return Err(wrong());
            }
            scheme = Some(own);
            let uri: Uri = format!("{own}://{rest}").parse().map_err(|_| wrong())?;
            let authority = uri.authority().ok_or_else(wrong)?;
            let name = authority.host().trim_matches(['[', ']']);
            if name.is_empty() || authority.as_str().contains('@') || uri.path() != "/" {
                return Err(wrong());
            }
            // The host stands first, with the brackets of IPv6.
            let port = match authority.as_str().get(authority.host().len()..) {
                Some("") if own == "https" => 443,
                Some("") => 80,
                rest => rest
                    .and_then(|rest| rest.strip_prefix(':')?.parse().ok())
                    .ok_or_else(wrong)?,
            };
            hosts.push(Host {
                name: name.to_owned(),
                port,
                authority: authority.clone(),
            });
        }
        Ok(Self {
            secure: scheme == Some("https"),
            hosts,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn one_or_several() {
        let one = Addresses::parse("http://[::1]:7400").unwrap();
        assert_eq!(
            (one.hosts[0].name.as_str(), one.hosts[0].port),
            ("::1", 7400)
        );
        let many = Addresses::parse("https://a:1, b:2,https://c").unwrap();
        let names: Vec<_> = many
            .hosts
            .iter()
            .map(|h| (h.name.as_str(), h.port))
            .collect();
        assert_eq!(names, [("a", 1), ("b", 2), ("c", 443)]);
        assert!(many.secure);
    }

    #[test]
    fn what_is_no_address_is_told() {
        for text in [
            "",
            "a:1",
            "ftp://a",
            "http://",
            "http://a:1,https://b",
            "http://a:99999",
            "http://user@a",
            "http://a/path",
            "http://a,",
            "http://a b",
        ] {
            let error = Addresses::parse(text).unwrap_err();
            assert!(matches!(error, ConnectError::Address(_)), "{text}");
        }
    }
}
