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

/// The role of the suite's own servers.
pub const SERVICE: &str = "service";

/// Beside `change.read`: the changes of all tenants, not of the caller's alone. No RPC asks for it; the role `service` has
/// it and no other, whatever other roles a caller has with it.
pub const READ_ALL: &str = "change.read_all";

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
    pattern == READ_ALL
        || regard_proto::METHODS
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
    // A star does not stand for it: it must be named.
    let all = patterns
        .iter()
        .any(|pattern| pattern.as_ref() == READ_ALL)
        .then_some(READ_ALL);
    held.chain(all).map(str::to_owned).collect()
}

/// Whether only servers of the suite hold a permission: what they ask each other.
pub(crate) fn is_internal(permission: &str) -> bool {
    let mut held = SHIPPED
        .iter()
        .filter(|role| role.granted.contains(permission));
    held.next().is_some_and(|role| role.name == SERVICE) && held.next().is_none()
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
        for internal in ["access.verify", "privacy.report", READ_ALL] {
            assert!(is_internal(internal), "{internal}");
        }
        assert!(!is_internal("change.read") && !is_internal("nobody.has"));
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
    fn no_sum_of_other_roles_reads_every_tenant_s_changes() {
        let every = shipped().iter().map(|role| role.name.to_owned());
        let (servers, people): (Vec<_>, Vec<_>) = every.partition(|name| name == "service");
        let own = BTreeMap::from([("all".to_owned(), vec!["change.*".to_owned()])]);
        let caller = |roles: &[String]| {
            let resolved = resolve(roles, &own);
            regard_types::Caller {
                permissions: resolved.permissions,
                all_tenants: resolved.all_tenants,
                ..regard_types::Caller::new(
                    regard_types::TenantId(regard_types::Uuid::nil()),
                    "t",
                    "c",
                )
            }
        };
        let mut people = people;
        people.push("all".to_owned());
        let one = caller(&people);
        assert!(one.all_tenants && one.may("change.read"));
        assert_eq!(crate::feed::seen(&one), Some(one.tenant));
        assert_eq!(crate::feed::seen(&caller(&servers)), None);
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
