//! Delimited text: finds the delimiter, drops a byte order mark, knows the line of each record.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use csv::{ByteRecord, ReaderBuilder};

use super::lines::Lines;

/// Bytes looked at to learn what kind of file it is.
const PEEK: u64 = 64 * 1024;

/// What was looked at, then the rest.
type Input = std::io::Chain<std::io::Cursor<Vec<u8>>, BufReader<File>>;

/// An open file of records. Records may have fewer or more fields than the header; blank lines are skipped.
pub struct Delimited {
    path: PathBuf,
    bytes: u64,
    delimiter: u8,
    reader: csv::Reader<Lines<Input>>,
}

/// One record: trimmed fields by position.
#[derive(Clone)]
pub struct Record {
    raw: ByteRecord,
}

impl Delimited {
    /// Opens a file. The delimiter is that of comma, semicolon, tab and bar which the first line has most of; `blanks` in
    /// a first line without any of them.
    ///
    /// # Errors
    /// The file cannot be read, is empty, or is no text in UTF-8.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let file = File::open(path).with_context(|| format!("cannot open {shown}"))?;
        let meta = file
            .metadata()
            .with_context(|| format!("cannot read {shown}"))?;
        if meta.is_dir() {
            bail!("{shown} is a folder; expected a CSV file");
        }
        let mut input = BufReader::with_capacity(256 * 1024, file);
        let mut start = Vec::new();
        input
            .by_ref()
            .take(PEEK)
            .read_to_end(&mut start)
            .with_context(|| format!("cannot read {shown}"))?;
        if start.starts_with(&[0xff, 0xfe])
            || start.starts_with(&[0xfe, 0xff])
            || start.contains(&0)
        {
            bail!("{shown} is not UTF-8 text; save it as \"CSV UTF-8\"");
        }
        if start.starts_with(&[0xef, 0xbb, 0xbf]) {
            start.drain(..3);
        }
        let line = start
            .split(|b| matches!(b, b'\n' | b'\r'))
            .find(|line| !line.trim_ascii().is_empty());
        let Some(line) = line else {
            bail!("{shown} is empty; expected a header and rows")
        };
        let delimiter = delimiter(line);
        let lines = Lines::new(std::io::Cursor::new(start).chain(input), delimiter);
        let reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(256 * 1024)
            .from_reader(lines);
        Ok(Self {
            path: path.to_owned(),
            bytes: meta.len(),
            delimiter,
            reader,
        })
    }

    /// Size of the file.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes read so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.reader.position().byte()
    }

    /// Whether fields are kept apart by blanks only.
    #[must_use]
    pub const fn by_blanks(&self) -> bool {
        self.delimiter == b' '
    }

    /// The path as given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the next record that is not blank into `record`; false at the end.
    ///
    /// # Errors
    /// The file cannot be read any further.
    pub fn next(&mut self, record: &mut Record) -> anyhow::Result<bool> {
        loop {
            let more = self
                .reader
                .read_byte_record(&mut record.raw)
                .with_context(|| format!("cannot read {}", self.path.display()))?;
            if !more {
                return Ok(false);
            }
            record.raw.trim();
            if record.raw.iter().any(|field| !field.is_empty()) {
                return Ok(true);
            }
        }
    }
}

impl Default for Record {
    fn default() -> Self {
        Self {
            raw: ByteRecord::new(),
        }
    }
}

impl Record {
    /// Line of the file on which the record starts, from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.raw.position().map_or(0, csv::Position::line)
    }

    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// The field at a position; empty where the record is short, None where it is not UTF-8.
    #[must_use]
    pub fn text(&self, index: usize) -> Option<&str> {
        std::str::from_utf8(self.raw.get(index).unwrap_or_default()).ok()
    }

    /// The field with what is not UTF-8 replaced.
    #[must_use]
    pub fn lossy(&self, index: usize) -> String {
        String::from_utf8_lossy(self.raw.get(index).unwrap_or_default()).into_owned()
    }

    /// The fields as bytes.
    pub fn fields(&self) -> impl Iterator<Item = &[u8]> {
        self.raw.iter()
    }
}

fn delimiter(line: &[u8]) -> u8 {
    let count = |b: u8| line.iter().filter(|c| **c == b).count();
    let best = [b'|', b'\t', b';', b',']
        .into_iter()
        .max_by_key(|b| count(*b))
        .unwrap_or(b',');
    match count(best) {
        0 if line.trim_ascii().contains(&b' ') => b' ',
        0 => b',',
        _ => best,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn records(text: &[u8]) -> Vec<(u64, Vec<String>)> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.csv");
        std::fs::write(&path, text).unwrap();
        let mut file = Delimited::open(&path).unwrap();
        let mut record = Record::default();
        let mut all = Vec::new();
        while file.next(&mut record).unwrap() {
            all.push((
                record.line(),
                (0..record.len()).map(|i| record.lossy(i)).collect(),
            ));
        }
        all
    }

    #[test]
    fn spreadsheet_habits_are_read() {
        let got = records(b"\xef\xbb\xbfid;x\r\n\r\n\"a;b\"; 2 \r\n;\r\nc;3\r\n");
        let want = [
            (1, vec!["id", "x"]),
            (3, vec!["a;b", "2"]),
            (5, vec!["c", "3"]),
        ];
        assert_eq!(records(b"a,b\n\n\r\n\nc,d")[1].0, 5);
        assert_eq!(records(b"\n a , b\rc,\"d\ne\"\rf,g\r")[2].0, 5);
        for ((line, fields), (want_line, want_fields)) in got.iter().zip(&want) {
            assert_eq!(fields, want_fields);
            assert_eq!(line, want_line);
        }
        assert_eq!(got.len(), want.len());
    }

    #[test]
    fn columns_set_by_blanks_are_fields() {
        let got =
            records(b" 00004 0001 19970101  2   29.33\r\n 00004 0001 19970118  2   29.73  \r\n");
        assert_eq!(got[0].1, ["00004", "0001", "19970101", "2", "29.33"]);
        assert_eq!(
            got[1],
            (
                2,
                ["00004", "0001", "19970118", "2", "29.73"]
                    .map(str::to_owned)
                    .to_vec()
            )
        );
    }
}
