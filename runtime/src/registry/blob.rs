//! A blob as a stream: broken connections are taken up where they broke, and what came is checked.

use std::io::{self, Read};
use std::time::Instant;

use bytes::Bytes;
use reqwest::header::RANGE;
use reqwest::{Method, Url};

use super::client::{Answer, Ask, Client, Failure, FailureKind, Tries};
use super::remote::as_error;
use crate::content::digest::Hasher;
use crate::error::{Error, ErrorKind, Result};
use crate::image::manifest::Descriptor;

/// After so much has come, a broken connection counts as the first one again.
const PROGRESS_BYTES: u64 = 256 << 10;

/// The content of one blob, from its beginning.
#[derive(Debug)]
pub(super) struct Blob<'a> {
    client: &'a Client,
    url: Url,
    descriptor: Descriptor,
    scopes: Vec<String>,
    answer: Option<Answer>,
    piece: Bytes,
    /// Bytes that have come so far.
    at: u64,
    /// So many of them come once more: this server knows no ranges.
    again: u64,
    hasher: Option<Hasher>,
    tries: Tries,
    tried_at: u64,
    pace: Pace,
}

impl<'a> Blob<'a> {
    pub(super) fn new(
        client: &'a Client,
        url: Url,
        descriptor: Descriptor,
        scopes: Vec<String>,
    ) -> Self {
        Self {
            client,
            url,
            descriptor,
            scopes,
            answer: None,
            piece: Bytes::new(),
            at: 0,
            again: 0,
            hasher: Some(Hasher::default()),
            tries: Tries::new(client.limits),
            tried_at: 0,
            pace: Pace {
                since: Instant::now(),
                bytes: 0,
            },
        }
    }

    /// The whole of a small blob.
    pub(super) fn read_all(mut self, limit_bytes: u64) -> Result<Vec<u8>> {
        if self.descriptor.size > limit_bytes {
            let message = format!("blob {} is too large", self.descriptor.digest);
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The next piece, on a new connection if the last one broke; `None` at the verified end.
    fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.at == self.descriptor.size {
                return self.end();
            }
            if self.answer.is_none() {
                self.answer = Some(self.open()?);
            }
            let Some(answer) = &mut self.answer else {
                continue;
            };
            match self.client.chunk(answer) {
                Ok(Some(mut piece)) => {
                    let length = piece.len() as u64;
                    self.pass_over(&mut piece);
                    self.came(&piece)?;
                    self.keep_pace(length)?;
                    if !piece.is_empty() {
                        return Ok(Some(piece));
                    }
                }
                Ok(None) => self.broke(&Failure::broken("unexpected EOF"))?,
                Err(failure) => self.broke(&failure)?,
            }
        }
    }

    /// Leaves of a piece what has not come before.
    fn pass_over(&mut self, piece: &mut Bytes) {
        let known = piece
            .len()
            .min(usize::try_from(self.again).unwrap_or(usize::MAX));
        bytes::Buf::advance(piece, known);
        self.again -= known as u64;
    }

    fn came(&mut self, piece: &Bytes) -> Result<()> {
        let length = piece.len() as u64;
        if length > self.descriptor.size - self.at {
            return Err(self.invalid("is longer than its manifest says"));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(piece);
        }
        self.at += length;
        if self.at - self.tried_at >= PROGRESS_BYTES {
            self.tries.reset();
        }
        Ok(())
    }

    /// A server that sends almost nothing is as good as gone.
    fn keep_pace(&mut self, length: u64) -> Result<()> {
        let limits = self.client.limits;
        self.pace.bytes += length;
        if self.pace.since.elapsed() >= limits.stall {
            let slow = self.pace.bytes < limits.stall_bytes;
            self.pace = Pace {
                since: Instant::now(),
                bytes: 0,
            };
            if slow && self.at < self.descriptor.size {
                self.broke(&Failure::broken("the transfer is too slow"))?;
            }
        }
        Ok(())
    }

    /// Whatever stands behind the last byte is read, so that the connection can be used again.
    fn end(&mut self) -> Result<Option<Bytes>> {
        if let Some(mut answer) = self.answer.take()
            && let Ok(Some(more)) = self.client.chunk(&mut answer)
            && !more.is_empty()
        {
            return Err(self.invalid("is longer than its manifest says"));
        }
        if let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.descriptor.digest
        {
            let digest = &self.descriptor.digest;
            let message = format!("filesystem layer verification failed for digest {digest}");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(None)
    }

    /// A connection broke: pauses before the next, if there may be one.
    fn broke(&mut self, failure: &Failure) -> Result<()> {
        self.answer = None;
        self.tried_at = self.at;
        let error = as_error(&format!("blob {}", self.descriptor.digest), failure);
        let may = failure.kind == FailureKind::Passing;
        self.tries.again(&self.client.io, may, None, error)
    }

    /// Asks for what is left.
    fn open(&mut self) -> Result<Answer> {
        let mut ask = Ask::new(Method::GET, self.url.clone(), &self.scopes);
        if self.at > 0 {
            ask = ask.header(RANGE, &format!("bytes={}-", self.at))?;
        }
        let answer = self.client.send(&ask)?;
        self.pace = Pace {
            since: Instant::now(),
            bytes: 0,
        };
        match answer.status() {
            200 => {
                // It begins at the beginning, whatever was asked.
                self.again = self.at;
                Ok(answer)
            }
            206 if starts_at(answer.header("content-range"), self.at) => {
                self.again = 0;
                Ok(answer)
            }
            206 => Err(self.invalid("was answered with another part than was asked for")),
            _ => {
                let shown = format!("blob {}", self.descriptor.digest);
                Err(self.client.refusal(&shown, answer)?)
            }
        }
    }

    fn invalid(&self, what: &str) -> Error {
        let message = format!("blob {} {what}", self.descriptor.digest);
        Error::new(ErrorKind::Invalid, message)
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.next() {
                Ok(Some(piece)) => self.piece = piece,
                Ok(None) => return Ok(0),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        let count = buffer.len().min(self.piece.len());
        buffer[..count].copy_from_slice(&self.piece[..count]);
        self.piece = self.piece.slice(count..);
        Ok(count)
    }
}

/// Bytes in the current stretch of time.
#[derive(Debug)]
struct Pace {
    since: Instant,
    bytes: u64,
}

/// `bytes 100-199/200`.
fn starts_at(content_range: Option<&str>, at: u64) -> bool {
    content_range
        .and_then(|text| text.trim().strip_prefix("bytes"))
        .and_then(|text| text.trim().split('-').next()?.parse().ok())
        == Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_must_be_the_one_that_was_asked_for() {
        assert!(starts_at(Some("bytes 100-199/200"), 100));
        assert!(starts_at(Some("bytes 100-199/*"), 100));
        assert!(!starts_at(Some("bytes 0-199/200"), 100));
        assert!(!starts_at(Some("items 100-199/200"), 100));
        assert!(!starts_at(None, 0));
    }
}
