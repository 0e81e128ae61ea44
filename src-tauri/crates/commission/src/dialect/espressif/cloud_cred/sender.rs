//! The client's side of a transfer.

use sha2::{Digest, Sha256};

use super::{Answer, CHUNK, CHUNK_LARGE, ClaimBundle, Refusal, Request, TransferId};
use crate::claim::ClaimForm;
use crate::fault::Fault;
use crate::secret::SecretBytes;
use crate::time::UnixTime;

/// How often the device may correct the offset, or forget the transfer, before it is taken for broken.
const CORRECTIONS: u8 = 3;

/// One claim on its way to the device: says what to send next, and goes on where the device says.
#[derive(Debug)]
pub struct Sender {
    bytes: SecretBytes,
    transfer: TransferId,
    form: ClaimForm,
    sha256: [u8; 32],
    now: UnixTime,
    /// The largest piece that we send.
    limit: u32,
    step: Step,
    corrections: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Begin,
    Chunk { next: u32, size: u32 },
    Commit,
}

/// How a transfer stands after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes are with the device.
    Sent(u32),
    /// The device checked and stored all of it.
    Committed,
}

impl Sender {
    /// Begins; `large` where the device announced that it takes 400-byte pieces. `now` is calendar time by the
    /// cloud's clock.
    pub fn new(bundle: &ClaimBundle, large: bool, now: UnixTime) -> Self {
        let bytes = bundle.encode();
        let sha256: [u8; 32] = Sha256::digest(bytes.reveal()).into();
        let [a, b, c, d, e, f, g, h, ..] = sha256;
        Self {
            bytes,
            transfer: [a, b, c, d, e, f, g, h],
            form: bundle.credential.form(),
            sha256,
            now,
            limit: if large { CHUNK_LARGE } else { CHUNK },
            step: Step::Begin,
            corrections: 0,
        }
    }

    /// Bytes in all.
    pub fn total(&self) -> u32 {
        u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }

    /// The request to send now.
    pub fn request(&self) -> Request {
        match self.step {
            Step::Begin => Request::Begin {
                transfer: self.transfer,
                form: self.form,
                total: self.total(),
                sha256: self.sha256,
            },
            Step::Chunk { next, size } => Request::Chunk {
                transfer: self.transfer,
                offset: next,
                data: self.piece(next, size),
            },
            Step::Commit => Request::Commit {
                transfer: self.transfer,
                now: self.now,
            },
        }
    }

    /// Takes the answer to [`Sender::request`].
    ///
    /// # Errors
    /// When the device refuses for good, or its answers do not fit.
    pub fn handle(&mut self, answer: Result<Answer, Refusal>) -> Result<Progress, Fault> {
        match (self.step, answer) {
            (Step::Begin, Ok(Answer::Begun { next, max_chunk, .. })) => {
                let size = max_chunk.min(self.limit);
                if size == 0 {
                    return Err(Fault::Protocol("the device takes pieces of no bytes".into()));
                }
                self.go_on(next, size)
            }
            (Step::Chunk { next: sent, size }, Ok(Answer::Taken { next })) if next > sent => {
                self.go_on(next, size)
            }
            (Step::Chunk { size, .. }, Err(Refusal::WrongOffset { next })) => {
                self.correct()?;
                self.go_on(next, size)
            }
            (Step::Commit, Ok(Answer::Committed)) => Ok(Progress::Committed),
            // It forgot the transfer, or part of it: once more from the start of what it holds.
            (Step::Chunk { .. } | Step::Commit, Err(Refusal::UnknownTransfer))
            | (Step::Commit, Err(Refusal::Incomplete { .. })) => {
                self.correct()?;
                self.step = Step::Begin;
                Ok(Progress::Sent(0))
            }
            (_, Err(refusal)) => Err(self.fault(refusal)),
            (_, Ok(_)) => Err(Fault::Protocol(
                "the device answers another request than it was sent".into(),
            )),
        }
    }

    fn go_on(&mut self, next: u32, size: u32) -> Result<Progress, Fault> {
        let total = self.total();
        if next > total {
            return Err(Fault::Protocol("the device has more than it was sent".into()));
        }
        self.step = if next == total {
            Step::Commit
        } else {
            Step::Chunk { next, size }
        };
        Ok(Progress::Sent(next))
    }

    fn correct(&mut self) -> Result<(), Fault> {
        self.corrections += 1;
        if self.corrections > CORRECTIONS {
            return Err(Fault::Protocol("the device keeps losing the claim".into()));
        }
        Ok(())
    }

    fn piece(&self, offset: u32, size: u32) -> SecretBytes {
        let index = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let end = index(offset.saturating_add(size)).min(self.bytes.len());
        let piece = self.bytes.reveal().get(index(offset)..end).unwrap_or_default();
        SecretBytes::new(piece.to_vec())
    }

    fn fault(&self, refusal: Refusal) -> Fault {
        match refusal {
            Refusal::BufferTooSmall { has } => Fault::BufferTooSmall {
                need: self.total(),
                has,
            },
            Refusal::Unsupported => Fault::CredentialsUnsupported,
            Refusal::Expired => Fault::ClaimExpired,
            other => Fault::ClaimRejected(alloc::format!("{other}")),
        }
    }
}
