//! The table of RPCs and the list of personal fields.

use std::collections::HashSet;
use std::fmt::Write as _;

use prost_reflect::{DescriptorPool, MessageDescriptor};

use super::Fault;

/// Full names of the messages that some RPC answers with.
pub fn responses(pool: &DescriptorPool, own: &dyn Fn(&str) -> bool) -> HashSet<String> {
    let services = pool
        .services()
        .filter(|service| own(service.package_name()))
        .collect::<Vec<_>>();
    let methods = || {
        services
            .iter()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
    };
    let requests = methods()
        .map(|method| method.input().full_name().to_owned())
        .collect::<HashSet<_>>();
    methods()
        .map(|method| method.output().full_name().to_owned())
        .filter(|name| !requests.contains(name))
        .collect()
}

pub fn methods(pool: &DescriptorPool, own: &dyn Fn(&str) -> bool) -> Result<String, Fault> {
    let permission = pool.get_extension_by_name("regard.common.v1.permission");
    let waits = pool.get_extension_by_name("regard.common.v1.waits");
    let mut table = String::new();
    let mut arms = String::new();
    let mut count = 0;
    for service in pool
        .services()
        .filter(|service| own(service.package_name()))
    {
        for method in service.methods() {
            let path = format!("/{}/{}", service.full_name(), method.name());
            let place = format!("{}: {}", service.parent_file().name(), method.full_name());
            let options = method.options();
            let named = permission
                .as_ref()
                .filter(|extension| options.has_extension(extension))
                .and_then(|extension| options.get_extension(extension).as_str().map(str::to_owned))
                .ok_or_else(|| {
                    format!("{place}: the RPC has no option (regard.common.v1.permission)")
                })?;
            if !well_formed(&named) {
                return Err(format!(
                    "{place}: the permission {named:?} is not of the form `noun.verb` in lower case"
                ));
            }
            let waits = waits
                .as_ref()
                .is_some_and(|extension| options.get_extension(extension).as_bool() == Some(true));
            writeln!(
                table,
                "Method {{ path: {path:?}, service: {:?}, permission: {named:?}, request_id: {}, client_streaming: {}, \
                 server_streaming: {}, waits: {waits}, change_tokens: {:?}, change_token: {:?}, request: {:?}, response: {:?} }},",
                service.full_name(),
                method.input().get_field_by_name("request_id").is_some(),
                method.is_client_streaming(),
                method.is_server_streaming(),
                number(&method.input(), "change_tokens"),
                number(&method.output(), "change_token"),
                method.input().full_name(),
                method.output().full_name(),
            )
            .map_err(|error| error.to_string())?;
            writeln!(arms, "{path:?} => {count},").map_err(|error| error.to_string())?;
            count += 1;
        }
    }
    Ok(format!(
        "/// Every RPC of the contract.\npub static METHODS: &[Method] = &[\n{table}];\n\
         fn index_of(path: &str) -> Option<usize> {{\nSome(match path {{\n{arms}_ => return None,\n}})\n}}\n\
         static PERSONAL_FIELDS: &[PersonalField] = &[\n{}];\n",
        personal(pool, own)?
    ))
}

/// The number of a message's field.
fn number(message: &MessageDescriptor, field: &str) -> Option<u32> {
    message.get_field_by_name(field).map(|field| field.number())
}

fn well_formed(permission: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    permission
        .split_once('.')
        .is_some_and(|(noun, verb)| part(noun) && part(verb))
}

fn personal(pool: &DescriptorPool, own: &dyn Fn(&str) -> bool) -> Result<String, Fault> {
    let mut list = String::new();
    let Some(mark) = pool.get_extension_by_name("regard.common.v1.personal") else {
        return Ok(list);
    };
    for message in pool
        .all_messages()
        .filter(|message| own(message.package_name()))
    {
        for field in message.fields() {
            if field.options().get_extension(&mark).as_bool() == Some(true) {
                writeln!(
                    list,
                    "PersonalField {{ message: {:?}, field: {:?}, number: {} }},",
                    message.full_name(),
                    field.name(),
                    field.number()
                )
                .map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(list)
}
