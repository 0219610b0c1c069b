//! Evens out lines before they are taken apart.

use std::io::{self, Read};

const CHUNK: usize = 64 * 1024;

/// Ends every line by `\n`, and gives each blank line one delimiter, so that the CSV reader counts lines rightly (it passes
/// over blank lines, and counts them to the next record). With a blank as delimiter, runs of blanks and tabs become one,
/// and those at the ends of lines go.
pub(super) struct Lines<R> {
    inner: R,
    delimiter: u8,
    input: Vec<u8>,
    output: Vec<u8>,
    given: usize,
    /// Nothing but dropped blanks since the last line end.
    at_start: bool,
    after_cr: bool,
    pending: bool,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(inner: R, delimiter: u8) -> Self {
        Self {
            inner,
            delimiter,
            input: vec![0; CHUNK],
            output: Vec::new(),
            given: 0,
            at_start: true,
            after_cr: false,
            pending: false,
        }
    }

    fn take(&mut self, read: usize) {
        self.output.clear();
        self.given = 0;
        let by_blanks = self.delimiter == b' ';
        for byte in self.input.iter().take(read).copied() {
            let after_cr = std::mem::take(&mut self.after_cr);
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => {
                    if self.at_start {
                        self.output.push(self.delimiter);
                    }
                    self.output.push(b'\n');
                    (self.at_start, self.pending, self.after_cr) = (true, false, byte == b'\r');
                }
                b' ' | b'\t' if by_blanks => self.pending = true,
                _ => {
                    if self.pending && !self.at_start {
                        self.output.push(b' ');
                    }
                    (self.at_start, self.pending) = (false, false);
                    self.output.push(byte);
                }
            }
        }
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.output.len() {
            let read = self.inner.read(&mut self.input)?;
            if read == 0 {
                return Ok(0);
            }
            self.take(read);
        }
        let rest = &self.output[self.given..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        Ok(count)
    }
}
