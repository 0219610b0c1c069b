//! How a service reaches another one of the installation: through memory where this process serves it, else at the address
//! that `[peer]` names, with the certificates and the credential that stand there.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use regard_client::{Client, Options, Tls};
use regard_server::{Pipe, Shared, service_caller};

use super::Which;
use super::identity::read_secret;
use crate::settings::{Peer, Settings};

/// The way of the service `from` to the service `to`.
///
/// # Errors
/// `to` is neither served here nor named, or its settings cannot be used.
pub(super) fn client(
    settings: &Settings,
    here: &[Which],
    (from, to): (Which, Which),
    shared: &Shared,
    pipe: &Pipe,
) -> anyhow::Result<Client> {
    let peer = &settings.peer;
    let address = match to {
        Which::Customer => peer.customer_address.as_str(),
        Which::Feedback => peer.feedback_address.as_str(),
        Which::Scoring => "",
    };
    if !address.is_empty() {
        let key = format!("peer.{}_address", to.name());
        let options = options(peer, address, &key)?;
        return Client::lazy(address, &options).context(key);
    }
    if !here.contains(&to) {
        bail!(
            "{from} needs the {to} service, which is not served by this process: set peer.{to}_address to where it answers, \
             such as http://{to}:7400",
            from = from.name(),
            to = to.name()
        );
    }
    let channel = pipe.channel_of(service_caller(from.name(), &shared.ids));
    Ok(Client::over(channel, &Options::default())?)
}

pub(super) fn options(peer: &Peer, address: &str, key: &str) -> anyhow::Result<Options> {
    let path = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
    let api_key = if peer.api_key_file.is_empty() {
        peer.api_key.reveal().to_owned()
    } else {
        read_secret("peer.api_key_file", peer.api_key_file.as_ref())?
    };
    let token_file = path(&peer.token_file);
    let tls = address.starts_with("https://").then(|| Tls {
        ca_file: path(&peer.ca_file),
        identity: path(&peer.cert_file).zip(path(&peer.key_file)),
        server_name: (!peer.server_name.is_empty()).then(|| peer.server_name.clone()),
    });
    let certified = tls.as_ref().is_some_and(|tls| tls.identity.is_some());
    if api_key.is_empty() && token_file.is_none() && !certified {
        bail!(
            "{key} is {address}, but nothing says there who calls: set peer.api_key_file, peer.token_file, or (for https) \
             peer.cert_file and peer.key_file"
        );
    }
    Ok(Options {
        api_key: (!api_key.is_empty()).then_some(api_key),
        token_file,
        tls,
        ..Options::default()
    })
}
