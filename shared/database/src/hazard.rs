//! Doors that are broken on purpose, to show that what stands behind them holds. In builds without debug assertions none
//! can be armed.

use regard_types::TenantId;

/// What is broken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(not(debug_assertions), allow(dead_code))]
pub enum Hazard {
    /// Nothing.
    #[default]
    None,
    /// Positions are taken outside of the transaction.
    LoosePositions,
    /// The door sets no tenant.
    NoTenant,
    /// The door sets this tenant, whoever calls.
    WrongTenant(TenantId),
    /// Statements forget their tenant: `tenant = $1` holds for every row.
    ForgottenTenant,
}

/// A database's doors as they are now.
#[derive(Debug, Clone)]
pub(crate) struct Doors {
    #[cfg(debug_assertions)]
    broken: std::sync::Arc<std::sync::Mutex<Hazard>>,
}

impl Doors {
    pub fn hazard(&self) -> Hazard {
        #[cfg(debug_assertions)]
        return *self
            .broken
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        #[cfg(not(debug_assertions))]
        Hazard::None
    }
}

#[cfg(debug_assertions)]
static DOORS: std::sync::Mutex<Vec<(String, Doors)>> = std::sync::Mutex::new(Vec::new());

/// Breaks the doors of every database at this URL, open or opened later, from now on.
#[cfg(debug_assertions)]
pub fn arm(url: &str, hazard: Hazard) {
    *of(url)
        .broken
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner) = hazard;
}

#[cfg(debug_assertions)]
pub(crate) fn of(url: &str) -> Doors {
    let mut all = DOORS
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((_, doors)) = all.iter().find(|(known, _)| known == url) {
        return doors.clone();
    }
    let doors = Doors {
        broken: std::sync::Arc::default(),
    };
    all.push((url.to_owned(), doors.clone()));
    doors
}

#[cfg(not(debug_assertions))]
pub(crate) fn of(_: &str) -> Doors {
    Doors {}
}

/// A statement that forgot its tenant; its place stays bound.
pub(crate) fn forget_tenant(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find("tenant = $") {
        let begin = rest[..at]
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
            .map_or(0, |i| i + 1);
        let place: String = rest[at + "tenant = $".len()..]
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        out.push_str(&rest[..begin]);
        out.push_str(&format!("${place}::uuid IS NOT NULL"));
        rest = &rest[at + "tenant = $".len() + place.len()..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_tenant_is_forgotten_wherever_it_is_asked() {
        let sql = "SELECT a FROM t x WHERE x.tenant = $12 AND id = $1 OR (tenant = $2)";
        assert_eq!(
            super::forget_tenant(sql),
            "SELECT a FROM t x WHERE $12::uuid IS NOT NULL AND id = $1 OR ($2::uuid IS NOT NULL)"
        );
    }
}
