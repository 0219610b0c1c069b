//! Looking for what was done to the audit behind our back.

use std::fmt;

use super::roll::Kept;
use super::seal::{GENESIS, RANGE, Sealed, hash, last};
use super::{Audit, COLUMNS, entry, number};
use crate::database::begin_read;
use crate::engine::View;
use crate::error::StoreError;
use crate::row::Row;
use crate::tx::Tx;

/// Rows that are read at once.
const PAGE: i64 = 2_000;
/// Findings that are told; more of them say no more.
const TOLD: usize = 1_000;

/// A lane's last seal, to be kept where whoever can write to the store cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The lane.
    pub lane: u16,
    /// The last entry that is sealed.
    pub sequence: u64,
    /// The seal.
    pub hash: [u8; 32],
}

impl fmt::Display for Anchor {
    /// `lane entry seal`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.lane, self.sequence)?;
        self.hash
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tampering {
    /// The entry is not as it was written, or was not written by the service.
    Changed,
    /// Entries are gone: from the finding's to this one.
    Removed {
        /// The last of them.
        to: u64,
    },
    /// An entry stands where none was written.
    Inserted,
    /// A seal is not what follows from its entries and the seal before.
    Seal,
    /// The mark of retention was not made by the service.
    Mark,
    /// The seal that was noted, elsewhere or in the service's roll, is gone, or another: an end was cut off, or a lane began
    /// anew.
    Anchor,
    /// The service's roll of what it sealed is gone, or not its own.
    Roll,
    /// There are changes, and no entry at all that could tell of them.
    Emptied,
}

impl fmt::Display for Tampering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed => f.write_str("changed, or not written by the service"),
            Self::Removed { to } => write!(f, "removed, up to {to}"),
            Self::Inserted => f.write_str("inserted"),
            Self::Seal => f.write_str("sealed otherwise"),
            Self::Mark => f.write_str("the mark of retention is not the service's"),
            Self::Anchor => {
                f.write_str("not as it was noted when it was sealed: cut off, or another history")
            }
            Self::Roll => f.write_str("the roll of what was sealed is gone, or not the service's"),
            Self::Emptied => f.write_str("the store has changes, and no entry that tells of any"),
        }
    }
}

/// One thing that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The lane.
    pub lane: u16,
    /// The entry where it shows.
    pub sequence: u64,
    /// What.
    pub what: Tampering,
}

/// What a verification saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries read.
    pub entries: u64,
    /// Seals read.
    pub seals: u64,
    /// Entries that no seal covers yet.
    pub unsealed: u64,
    /// Anchors older than what retention kept: they say nothing now.
    pub outdated_anchors: u64,
    /// All that is not as it was, by lane; at most 1,000.
    pub findings: Vec<Finding>,
}

impl Report {
    fn find(&mut self, lane: u16, sequence: u64, what: Tampering) {
        let finding = Finding {
            lane,
            sequence,
            what,
        };
        // an anchor and the roll may say the same
        let known = what == Tampering::Anchor && self.findings.contains(&finding);
        if self.findings.len() < TOLD && !known {
            self.findings.push(finding);
        }
    }
}

impl Audit {
    /// Every lane's last seal; seals what is new first.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn heads(&self) -> Result<Vec<Anchor>, StoreError> {
        self.seal().await?;
        let tx = begin_read(&self.0.0.pools, View::Everyone).await?;
        let mut anchors = Vec::new();
        for (lane, _) in lanes(&tx).await? {
            let sealed = last(&tx, lane).await?;
            anchors.push(Anchor {
                lane,
                sequence: sealed.last,
                hash: sealed.hash,
            });
        }
        Ok(anchors)
    }

    /// Reads all entries and seals in one snapshot and finds what is not as the service wrote it.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn verify(&self, anchors: &[Anchor]) -> Result<Report, StoreError> {
        let tx = begin_read(&self.0.0.pools, View::Everyone).await?;
        let mut report = Report::default();
        let lanes = lanes(&tx).await?;
        let mut rolled = Vec::new();
        match Kept::read(&tx, &self.0.0.audit_key).await? {
            Kept::Unmade => {}
            Kept::Broken => report.find(0, 0, Tampering::Roll),
            Kept::Heads(heads) => rolled = heads,
        }
        for (lane, audited) in &lanes {
            let of_lane =
                |all| Iterator::filter(<[Anchor]>::iter(all), |a| a.lane == *lane).collect();
            let (anchors, rolled): (Vec<_>, Vec<_>) = (of_lane(anchors), of_lane(&rolled));
            let walk = Walk {
                audit: self,
                tx: &tx,
                lane: *lane,
                report: &mut report,
            };
            walk.lane(*audited, &anchors, &rolled).await?;
        }
        let known = |lane: u16| lanes.iter().any(|(l, _)| *l == lane);
        for anchor in anchors.iter().chain(&rolled).filter(|a| !known(a.lane)) {
            report.find(anchor.lane, anchor.sequence, Tampering::Anchor);
        }
        for (table, number, what) in [
            ("audit", "sequence", Tampering::Inserted),
            ("audit_seal", "first", Tampering::Seal),
            ("audit_trim", "sequence", Tampering::Mark),
        ] {
            let sql = format!(
                "SELECT lane, min({number}) FROM {table} WHERE lane NOT IN (SELECT lane FROM lane) \
                 GROUP BY lane ORDER BY lane"
            );
            for row in tx.fetch(sql, vec![]).await? {
                let lane = row.get::<i64>(0)?.clamp(0, i64::from(u16::MAX));
                let lane = u16::try_from(lane).map_err(StoreError::corrupt)?;
                report.find(lane, row.get::<i64>(1)?.unsigned_abs(), what);
            }
        }
        // nearly every change is a caller's; that all of many lanes are not cannot be
        let sql = "SELECT count(*) FROM lane WHERE head > 0 AND NOT EXISTS (SELECT 1 FROM audit) \
                   AND NOT EXISTS (SELECT 1 FROM audit_trim)";
        if let Some(row) = tx.fetch_one(sql, vec![]).await?
            && row.get::<i64>(0)? > 0
        {
            report.find(0, 0, Tampering::Emptied);
        }
        Ok(report)
    }
}

/// Lanes with the number of their last entry.
async fn lanes(tx: &Tx) -> Result<Vec<(u16, u64)>, StoreError> {
    let rows = tx
        .fetch("SELECT lane, audited FROM lane ORDER BY lane", vec![])
        .await?;
    let lane = |row: &Row| {
        let lane = u16::try_from(row.get::<i64>(0)?).map_err(StoreError::corrupt)?;
        Ok((lane, number(row, 1)?))
    };
    rows.iter().map(lane).collect()
}

struct Walk<'a> {
    audit: &'a Audit,
    tx: &'a Tx,
    lane: u16,
    report: &'a mut Report,
}

impl Walk<'_> {
    fn find(&mut self, sequence: u64, what: Tampering) {
        self.report.find(self.lane, sequence, what);
    }

    fn at(&self, after: u64) -> Vec<sea_orm::Value> {
        let after = after.cast_signed();
        vec![i64::from(self.lane).into(), after.into(), PAGE.into()]
    }

    /// Where the chain begins: at nothing, or where retention left it.
    async fn start(&mut self) -> Result<Sealed, StoreError> {
        let key = &self.audit.0.0.audit_key;
        let Some((start, right)) = super::retention::start(self.tx, key, self.lane).await? else {
            return Ok(GENESIS);
        };
        if !right {
            self.find(start.last, Tampering::Mark);
        }
        Ok(start)
    }

    async fn lane(
        mut self,
        audited: u64,
        anchors: &[&Anchor],
        rolled: &[&Anchor],
    ) -> Result<(), StoreError> {
        let start = self.start().await?;
        for (sql, what) in [
            (
                "SELECT min(sequence) FROM audit WHERE lane = $1 AND sequence <= $2",
                Tampering::Inserted,
            ),
            (
                "SELECT min(first) FROM audit_seal WHERE lane = $1 AND first <= $2",
                Tampering::Seal,
            ),
        ] {
            let values = vec![i64::from(self.lane).into(), start.last.cast_signed().into()];
            if let Some(row) = self.tx.fetch_one(sql, values).await?
                && let Some(low) = row.get::<Option<i64>>(0)?
            {
                self.find(low.max(0).unsigned_abs(), what);
            }
        }
        let mut chain = Chain {
            at: start,
            macs: Vec::new(),
            seals: Vec::new(),
            more: true,
            broken: false,
        };
        chain.load(&mut self).await?;
        let mut expected = start.last + 1;
        loop {
            let sql = format!(
                "SELECT {COLUMNS} FROM audit WHERE lane = $1 AND sequence > $2 ORDER BY sequence LIMIT $3"
            );
            let rows = self.tx.fetch(sql, self.at(expected - 1)).await?;
            for row in &rows {
                let sequence = number(row, 3)?;
                if sequence > expected {
                    let to = sequence - 1;
                    // beyond the lane's own count nothing was ever written
                    if expected <= audited {
                        let to = to.min(audited);
                        self.find(expected, Tampering::Removed { to });
                    }
                    chain.gap(to);
                }
                expected = sequence + 1;
                self.report.entries += 1;
                let mac = self.entry(row, sequence, audited, &mut chain)?;
                chain.push(&mut self, sequence, mac).await?;
            }
            if rows.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
                break;
            }
        }
        if expected <= audited {
            self.find(expected, Tampering::Removed { to: audited });
            chain.gap(audited);
        }
        self.report.unsealed += (expected - 1).saturating_sub(chain.at.last);
        chain.end(&mut self);
        let outdated = anchors.iter().filter(|a| a.sequence < start.last);
        self.report.outdated_anchors += outdated.count() as u64;
        for anchor in anchors.iter().chain(rolled) {
            if anchor.sequence < start.last {
                continue;
            }
            if anchor.sequence == start.last {
                if anchor.hash != start.hash {
                    self.find(anchor.sequence, Tampering::Anchor);
                }
            } else {
                let sql = "SELECT hash FROM audit_seal WHERE lane = $1 AND last = $2";
                let values = vec![
                    i64::from(self.lane).into(),
                    anchor.sequence.cast_signed().into(),
                ];
                let row = self.tx.fetch_one(sql, values).await?;
                let hash = row.map(|row| row.get::<Vec<u8>>(0)).transpose()?;
                if hash.as_deref() != Some(anchor.hash.as_slice()) {
                    self.find(anchor.sequence, Tampering::Anchor);
                }
            }
        }
        Ok(())
    }

    /// Checks an entry against its own code.
    fn entry(
        &mut self,
        row: &Row,
        sequence: u64,
        audited: u64,
        chain: &mut Chain,
    ) -> Result<Vec<u8>, StoreError> {
        let mac: Vec<u8> = row.get(14)?;
        // a field of another form than ours is a change, too
        let right = entry(row).is_ok_and(|(e, mac)| self.audit.0.0.audit_key.entry(&e)[..] == mac);
        if !right {
            self.find(sequence, Tampering::Changed);
            chain.broken = true;
        } else if sequence > audited {
            self.find(sequence, Tampering::Inserted);
        }
        Ok(mac)
    }
}

/// A digest; one of another length is none of ours and equals nothing.
pub(super) fn digest(row: &Row, column: usize) -> Result<[u8; 32], StoreError> {
    let bytes: Vec<u8> = row.get(column)?;
    Ok(<[u8; 32]>::try_from(bytes).unwrap_or([0xff; 32]))
}

struct Seal {
    first: u64,
    last: u64,
    previous: [u8; 32],
    hash: [u8; 32],
}

/// The chain as far as it was followed.
struct Chain {
    at: Sealed,
    /// Codes of the entries after it.
    macs: Vec<Vec<u8>>,
    /// The next seals, the next one last.
    seals: Vec<Seal>,
    /// There may be more of them.
    more: bool,
    /// Something of the range at hand was found out already: its seal cannot fit.
    broken: bool,
}

impl Chain {
    async fn load(&mut self, walk: &mut Walk<'_>) -> Result<(), StoreError> {
        let sql = "SELECT first, last, previous, hash FROM audit_seal WHERE lane = $1 AND first > $2 ORDER BY first LIMIT $3";
        let rows = walk.tx.fetch(sql, walk.at(self.at.last)).await?;
        for row in rows.iter().rev() {
            self.seals.push(Seal {
                first: number(row, 0)?,
                last: number(row, 1)?,
                previous: digest(row, 2)?,
                hash: digest(row, 3)?,
            });
        }
        walk.report.seals += rows.len() as u64;
        self.more = rows.len() == usize::try_from(PAGE).unwrap_or(usize::MAX);
        Ok(())
    }

    async fn push(
        &mut self,
        walk: &mut Walk<'_>,
        sequence: u64,
        mac: Vec<u8>,
    ) -> Result<(), StoreError> {
        if self.seals.is_empty() && self.more {
            self.load(walk).await?;
        }
        let Some(seal) = self.seals.last() else {
            // not sealed yet
            return Ok(());
        };
        if !self.broken {
            self.macs.push(mac);
        }
        if self.macs.len() > usize::try_from(RANGE).unwrap_or(usize::MAX) {
            // no seal of ours reaches so far: one before it is gone
            walk.find(seal.first, Tampering::Seal);
            self.broken = true;
            self.macs.clear();
        }
        if seal.last > sequence {
            return Ok(());
        }
        let macs = self.macs.iter().map(Vec::as_slice);
        let follows = seal.first == self.at.last + 1 && seal.previous == self.at.hash;
        let key = &walk.audit.0.0.audit_key;
        let right = hash(key, walk.lane, self.at, seal.last, macs) == seal.hash;
        if !(self.broken || follows && right) {
            let first = seal.first;
            walk.find(first, Tampering::Seal);
        }
        self.next();
        Ok(())
    }

    /// Entries up to `to` are not there: what seals them cannot be checked.
    fn gap(&mut self, to: u64) {
        while self.seals.last().is_some_and(|seal| seal.last <= to) {
            self.next();
        }
        self.broken = to > self.at.last;
        self.macs.clear();
    }

    /// Seals without entries.
    fn end(&mut self, walk: &mut Walk<'_>) {
        if let Some(seal) = self.seals.last()
            && !self.broken
        {
            walk.find(seal.first, Tampering::Seal);
        }
    }

    fn next(&mut self) {
        if let Some(seal) = self.seals.pop() {
            self.at = Sealed {
                last: seal.last,
                hash: seal.hash,
            };
        }
        self.macs.clear();
        self.broken = false;
    }
}
