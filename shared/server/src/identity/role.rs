//! Roles: sets of permissions under a name. Those that Regard brings are documents in `roles/`; a tenant may have more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use regard_types::Permissions;
use serde::Deserialize;

/// A role that Regard brings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its name: that of its document.
    #[serde(skip)]
    pub name: &'static str,
    /// What it is for.
    pub title: String,
    /// Permissions; a star at the end stands for all that begin so.
    pub permissions: Vec<String>,
    /// Whether who has it may name other tenants than its own.
    #[serde(default)]
    pub all_tenants: bool,
    /// What it grants of this contract.
    #[serde(skip)]
    granted: Arc<BTreeSet<String>>,
}

const DOCUMENTS: [(&str, &str); 8] = [
    ("agent", include_str!("../../roles/agent.toml")),
    ("analyst", include_str!("../../roles/analyst.toml")),
    ("manager", include_str!("../../roles/manager.toml")),
    ("operator", include_str!("../../roles/operator.toml")),
    (
        "privacy-officer",
        include_str!("../../roles/privacy-officer.toml"),
    ),
    ("reader", include_str!("../../roles/reader.toml")),
    ("service", include_str!("../../roles/service.toml")),
    ("writer", include_str!("../../roles/writer.toml")),
];

/// A document that cannot be read is left out: a test sees to it that there is none.
static SHIPPED: LazyLock<Vec<Role>> = LazyLock::new(|| {
    let read = DOCUMENTS.iter().filter_map(|(name, text)| {
        let mut role: Role = toml::from_str(text).ok()?;
        role.name = name;
        role.granted = Arc::new(granted(&role.permissions));
        Some(role)
    });
    read.collect()
});

/// The roles that Regard brings, by name.
#[must_use]
pub fn shipped() -> &'static [Role] {
    &SHIPPED
}

/// The role of this name that Regard brings.
#[must_use]
pub fn role(name: &str) -> Option<&'static Role> {
    SHIPPED.iter().find(|role| role.name == name)
}

/// Whether a pattern (`order.read`, `order.*`) stands for a permission.
fn stands_for(pattern: &str, permission: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => permission.starts_with(start),
        None => pattern == permission,
    }
}

/// Whether a pattern stands for any permission that some RPC declares.
#[must_use]
pub fn is_declared(pattern: &str) -> bool {
    regard_proto::METHODS
        .iter()
        .any(|method| stands_for(pattern, method.permission))
}

/// The declared permissions that patterns stand for.
#[must_use]
pub fn granted<P: AsRef<str>>(patterns: &[P]) -> BTreeSet<String> {
    let declared = regard_proto::METHODS.iter().map(|method| method.permission);
    let held = declared.filter(|permission| {
        patterns
            .iter()
            .any(|pattern| stands_for(pattern.as_ref(), permission))
    });
    held.map(str::to_owned).collect()
}

/// What a caller's roles make of it.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub permissions: Permissions,
    pub roles: Arc<[Arc<str>]>,
    pub all_tenants: bool,
}

/// What roles grant, those of the tenant included; a role that nobody knows grants nothing.
pub(super) fn resolve(names: &[String], own: &BTreeMap<String, Vec<String>>) -> Resolved {
    let roles = names.iter().map(|name| Arc::from(name.as_str())).collect();
    let mut all_tenants = false;
    let mut sets = Vec::new();
    for name in names {
        if let Some(role) = role(name) {
            all_tenants |= role.all_tenants;
            sets.push(Arc::clone(&role.granted));
        } else if let Some(patterns) = own.get(name) {
            sets.push(Arc::new(granted(patterns)));
        }
    }
    let permissions = match sets.as_slice() {
        [one] => Arc::clone(one),
        many => Arc::new(many.iter().flat_map(|set| set.iter().cloned()).collect()),
    };
    Resolved {
        permissions: Permissions::Set(permissions),
        roles,
        all_tenants,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_document_is_read_and_every_permission_of_it_is_declared() {
        assert_eq!(shipped().len(), DOCUMENTS.len());
        for role in shipped() {
            for pattern in &role.permissions {
                assert!(is_declared(pattern), "{}: {pattern}", role.name);
            }
            assert!(!role.title.is_empty() && !role.granted.is_empty());
        }
    }

    #[test]
    fn every_declared_permission_is_granted_by_some_role() {
        for method in regard_proto::METHODS {
            assert!(
                shipped()
                    .iter()
                    .any(|role| role.granted.contains(method.permission)),
                "{} of {} is in no document of roles/",
                method.permission,
                method.path
            );
        }
    }

    #[test]
    fn what_servers_ask_each_other_is_for_servers_alone() {
        for internal in ["access.verify", "privacy.report"] {
            let held = shipped()
                .iter()
                .filter(|role| role.granted.contains(internal));
            assert_eq!(held.map(|role| role.name).collect::<Vec<_>>(), ["service"]);
        }
        for role in shipped().iter().filter(|role| role.all_tenants) {
            let reads = ["customer.read", "order.read", "response.read", "score.read"];
            assert!(
                reads.iter().all(|read| !role.granted.contains(*read)),
                "{} would read every tenant's customers",
                role.name
            );
        }
    }

    #[test]
    fn roles_add_up_and_unknown_ones_grant_nothing() {
        let own = BTreeMap::from([("clerk".to_owned(), vec!["order.*".to_owned()])]);
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let held = |roles: &[&str]| match resolve(&names(roles), &own).permissions {
            Permissions::Set(set) => set,
            Permissions::All => Arc::default(),
        };
        assert_eq!(
            *held(&["clerk"]),
            BTreeSet::from(["order.read".to_owned(), "order.write".to_owned()])
        );
        assert!(held(&["nobody"]).is_empty() && held(&[]).is_empty());
        let both = held(&["clerk", "analyst", "nobody"]);
        assert!(both.contains("order.write") && both.contains("metric.read"));
        assert!(resolve(&names(&["operator"]), &own).all_tenants);
        assert!(!resolve(&names(&["manager", "clerk"]), &own).all_tenants);
        // A star stands for what follows it, and nothing else.
        assert!(!stands_for("order.*", "orders.read") && !stands_for("order", "order.read"));
    }
}
