//! Which column of a file plays which role.

use std::collections::BTreeMap;

use crate::failure::usage;
use crate::read::Record;
use crate::score::fold;

/// The line of the file in place of a column.
const LINE: &str = "#";

/// What a column is for.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    /// As `--columns` names it.
    pub name: &'static str,
    /// Whether a file must have it.
    pub required: bool,
    /// Common names, folded.
    pub common: &'static [&'static str],
}

impl Role {
    /// A role that a file must have.
    pub const fn required(name: &'static str, common: &'static [&'static str]) -> Self {
        Self {
            name,
            required: true,
            common,
        }
    }

    /// A role that a file may have.
    pub const fn optional(name: &'static str, common: &'static [&'static str]) -> Self {
        Self {
            name,
            required: false,
            common,
        }
    }
}

/// What `--columns` asked for: role to name, position from 1, or `#`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted(Vec<(String, String)>);

impl Wanted {
    /// Reads `role=NAME,role=NAME`.
    ///
    /// # Errors
    /// Another form.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut wanted = Vec::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let Some((role, name)) = part.split_once('=') else {
                return Err(usage(format!(
                    "--columns: found {part:?}; expected ROLE=NAME pairs such as customer=CustomerNo,date=Day (a name, or a position \
                     from 1)"
                )));
            };
            wanted.push((role.trim().to_owned(), name.trim().to_owned()));
        }
        Ok(Self(wanted))
    }

    /// The name asked for.
    pub fn of(&self, role: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name == role);
        found.map(|(_, column)| column.as_str())
    }

    /// Roles that begin so, without the beginning, with their columns.
    pub fn beginning<'a>(&'a self, with: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pairs = self.0.iter();
        pairs.filter_map(move |(role, column)| Some((role.strip_prefix(with)?, column.as_str())))
    }

    /// Refuses roles that the file cannot have.
    ///
    /// # Errors
    /// An unknown role.
    pub fn check(&self, roles: &[Role], also: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        for (role, _) in &self.0 {
            if !roles.iter().any(|known| known.name == role) && !also(role) {
                let known: Vec<&str> = roles.iter().map(|role| role.name).collect();
                return Err(usage(format!(
                    "--columns: there is no role {role:?}; expected {}",
                    known.join(", ")
                )));
            }
        }
        Ok(())
    }
}

/// Where a role's value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A column and its name.
    Column(usize, String),
    /// The row's line in the file.
    Line,
}

/// Roles by their places.
#[derive(Debug, Clone, Default)]
pub struct Columns(BTreeMap<&'static str, Place>);

impl Columns {
    /// Finds the columns by the header.
    ///
    /// # Errors
    /// A required role without a column; a column asked for that is not there.
    pub fn by_header(
        header: &Record,
        roles: &[Role],
        wanted: &Wanted,
        file: &str,
    ) -> anyhow::Result<Self> {
        let names = names(header);
        let folded: Vec<String> = names.iter().map(|name| fold(name)).collect();
        let mut found = BTreeMap::new();
        for role in roles {
            let place = match wanted.of(role.name) {
                Some(name) => {
                    Some(at(&names, name).ok_or_else(|| missing(file, role.name, name, &names))?)
                }
                None => role
                    .common
                    .iter()
                    .find_map(|common| folded.iter().position(|name| name == common))
                    .map(|at| Place::Column(at, names[at].clone())),
            };
            match place {
                Some(place) => {
                    found.insert(role.name, place);
                }
                None if role.required => {
                    return Err(usage(format!(
                        "{file}, line 1: no column for the {0} among {1:?}; name it by --columns {0}=NAME",
                        role.name,
                        names.join(",")
                    )));
                }
                None => {}
            }
        }
        Ok(Self(found))
    }

    /// Columns of a file without a header: as asked for, or as they usually stand.
    ///
    /// # Errors
    /// A required role without a position.
    pub fn by_position(
        first: &Record,
        roles: &[Role],
        wanted: &Wanted,
        usual: &[(&str, usize)],
        file: &str,
    ) -> anyhow::Result<Self> {
        let mut found = BTreeMap::new();
        for role in roles {
            let asked = wanted.of(role.name);
            let position = asked
                .and_then(|text| text.parse::<usize>().ok())
                .filter(|n| (1..=first.len()).contains(n));
            let usual = usual
                .iter()
                .find(|(name, _)| *name == role.name)
                .map(|(_, at)| *at);
            match (asked, position) {
                (Some(LINE), _) => {
                    found.insert(role.name, Place::Line);
                }
                (Some(text), None) => {
                    return Err(usage(format!(
                        "--columns {}={text}: {file} has no header; expected a position from 1 to {}",
                        role.name,
                        first.len()
                    )));
                }
                (_, position) => match position.map(|n| n - 1).or(usual) {
                    Some(at) => {
                        found.insert(role.name, Place::Column(at, role.name.to_owned()));
                    }
                    None if role.required => {
                        return Err(usage(format!(
                            "{file}: the first line is no header and has {} columns; add a header, or say --columns {}=POSITION",
                            first.len(),
                            role.name
                        )));
                    }
                    None => {}
                },
            }
        }
        Ok(Self(found))
    }

    /// Where a role stands.
    pub fn place(&self, role: &str) -> Option<&Place> {
        self.0.get(role)
    }
}

/// The names of a header.
pub fn names(header: &Record) -> Vec<String> {
    (0..header.len()).map(|at| header.lossy(at)).collect()
}

/// A column by its name, by its name without case and signs, or by its position.
pub fn at(names: &[String], name: &str) -> Option<Place> {
    if name == LINE {
        return Some(Place::Line);
    }
    let folded = fold(name);
    let found = names
        .iter()
        .position(|n| n == name)
        .or_else(|| {
            names
                .iter()
                .position(|n| fold(n) == folded && !folded.is_empty())
        })
        .or_else(|| {
            let position = name.parse::<usize>().ok()?;
            (1..=names.len()).contains(&position).then(|| position - 1)
        })?;
    Some(Place::Column(found, names[found].clone()))
}

/// The error of a column that was asked for.
pub fn missing(file: &str, role: &str, name: &str, names: &[String]) -> anyhow::Error {
    usage(format!(
        "--columns {role}={name}: {file} has no such column; it has {:?}",
        names.join(",")
    ))
}

impl Columns {
    /// Takes a role away.
    pub fn remove(&mut self, role: &str) {
        self.0.remove(role);
    }
}
