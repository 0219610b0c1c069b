//! Who a client certificate names: by a URI of ours among its subject alternative names, or by a DNS name that the settings
//! know. TLS itself has seen to it that an authority of the settings signed it.

use std::collections::HashMap;

use regard_types::Fault;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::Named;

/// Longest name of a caller in a certificate or token.
pub(super) const LONGEST_NAME: usize = 128;

/// The caller that a certificate (DER) names; `known` are the DNS names of the settings.
pub(super) fn named(certificate: &[u8], known: &HashMap<String, Named>) -> Result<Named, Fault> {
    let refused = |what: &str| Fault::unauthenticated(format!("the client certificate {what}"));
    let (_, certificate) = X509Certificate::from_der(certificate)
        .map_err(|_| refused("cannot be read; expected X.509"))?;
    // A connection may outlive the certificate that it began with.
    if !certificate.validity().is_valid() {
        return Err(refused("has expired; get a new one"));
    }
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| refused("has subject alternative names that cannot be read"))?;
    let names = names
        .iter()
        .flat_map(|names| names.value.general_names.iter());
    let mut found: Option<Named> = None;
    for name in names {
        let one = match name {
            GeneralName::URI(uri) if uri.starts_with(SCHEME) => {
                Some(read(uri).ok_or_else(|| {
                    refused("names its caller wrongly; expected regard://TENANT/CALLER?role=ROLE")
                })?)
            }
            GeneralName::DNSName(dns) => known.get(&dns.to_ascii_lowercase()).cloned(),
            _ => None,
        };
        match (&found, one) {
            (Some(before), Some(next)) if *before != next => {
                return Err(refused("names two different callers; expected one"));
            }
            (_, Some(next)) => found = Some(next),
            (_, None) => {}
        }
    }
    found.ok_or_else(|| {
        refused("names no caller of this server: neither a URI regard://TENANT/CALLER nor a name of identity.certificates")
    })
}

const SCHEME: &str = "regard://";

/// `regard://tenant/caller?role=a&role=b`
fn read(uri: &str) -> Option<Named> {
    let rest = uri.strip_prefix(SCHEME)?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (tenant, name) = path.split_once('/')?;
    let plain = |text: &str| {
        (1..=LONGEST_NAME).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~@:+".contains(&byte))
    };
    let mut roles = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let role = pair.strip_prefix("role=").filter(|role| plain(role))?;
        roles.push(role.to_owned());
    }
    (super::is_tenant(tenant) && plain(name) && roles.len() <= super::MOST_ROLES).then(|| Named {
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        roles,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn certificate(uris: &[&str], dns: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        for uri in uris {
            params
                .subject_alt_names
                .push(SanType::URI((*uri).try_into().unwrap()));
        }
        for name in dns {
            params
                .subject_alt_names
                .push(SanType::DnsName((*name).try_into().unwrap()));
        }
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn known() -> HashMap<String, Named> {
        let named = Named {
            tenant: "shop".to_owned(),
            name: "gateway".to_owned(),
            roles: vec!["reader".to_owned()],
        };
        HashMap::from([("gateway.shop.example".to_owned(), named)])
    }

    #[test]
    fn a_uri_or_a_known_name_tells_the_caller() {
        let found = named(
            &certificate(
                &["regard://shop/back-end?role=writer&role=analyst"],
                &["x.example"],
            ),
            &known(),
        );
        assert_eq!(
            found.unwrap(),
            Named {
                tenant: "shop".to_owned(),
                name: "back-end".to_owned(),
                roles: vec!["writer".to_owned(), "analyst".to_owned()],
            }
        );
        let found = named(&certificate(&[], &["Gateway.Shop.example"]), &known()).unwrap();
        assert_eq!(found.name, "gateway");
    }

    #[test]
    fn anything_else_is_refused() {
        for (uris, dns) in [
            (&[][..], &[][..]),
            (&[], &["other.example"]),
            (&["spiffe://shop/back-end"], &[]),
            (&["regard://shop"], &[]),
            (&["regard://Shop/x"], &[]),
            (&["regard://shop/x?rôle=reader"], &[]),
            (&["regard://shop/x?admin=1"], &[]),
            (&["regard://shop/x%2Fy"], &[]),
            (&["regard://shop/x", "regard://shop/y"], &[]),
            (&["regard://shop/x"], &["gateway.shop.example"]),
        ] {
            if uris.iter().any(|uri| !uri.is_ascii()) {
                continue; // no certificate can hold it
            }
            let fault = named(&certificate(uris, dns), &known()).unwrap_err();
            assert_eq!(fault.reason, "UNAUTHENTICATED", "{uris:?} {dns:?}");
        }
        assert!(named(b"no certificate", &known()).is_err());
    }

    #[test]
    fn one_that_has_expired_is_refused() {
        let mut params = CertificateParams::default();
        params
            .subject_alt_names
            .push(SanType::URI("regard://shop/x".try_into().unwrap()));
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let fault = named(certificate.der(), &known()).unwrap_err();
        assert!(fault.message.contains("expired"), "{fault}");
    }
}
