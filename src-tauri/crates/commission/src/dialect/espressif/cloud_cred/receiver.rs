//! The device's side of a transfer.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Answer, ClaimBundle, Refusal, Request, TransferId};
use crate::claim::ClaimForm;
use crate::time::{Moment, UnixTime};

/// How long a half transfer is kept for its client to come back: a claim does not live longer.
pub const PARTIAL_LIFE: Duration = Duration::from_secs(300);

/// Takes transfers, one at a time, with bounds that no request can pass.
#[derive(Debug)]
pub struct Receiver {
    /// Largest total that it takes.
    buffer: u32,
    /// Largest piece that it takes.
    max_chunk: u32,
    /// Kinds of claim that it takes.
    forms: Vec<ClaimForm>,
    state: State,
}

#[derive(Debug)]
enum State {
    Empty,
    Partial(Partial),
    /// Stored; remembered so that a repeated commit gets the same answer.
    Committed {
        transfer: TransferId,
        sha256: [u8; 32],
        total: u32,
    },
}

struct Partial {
    transfer: TransferId,
    sha256: [u8; 32],
    form: ClaimForm,
    total: u32,
    bytes: Zeroizing<Vec<u8>>,
    touched: Moment,
}

impl core::fmt::Debug for Partial {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Partial({} of {} bytes)", self.bytes.len(), self.total)
    }
}

/// What a request changed, beside the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A claim is complete and sound; the clock may be set to this time.
    Stored {
        /// The claim.
        bundle: Box<ClaimBundle>,
        /// Calendar time by the cloud's clock.
        now: UnixTime,
    },
    /// Whatever was there is gone.
    Wiped,
}

impl Receiver {
    /// A receiver with nothing in it.
    pub fn new(buffer: u32, max_chunk: u32, forms: Vec<ClaimForm>) -> Self {
        Self {
            buffer,
            max_chunk,
            forms,
            state: State::Empty,
        }
    }

    /// Takes a request. `check` is the firmware's own look at a complete claim: whether key and certificate belong
    /// together and whether it can be stored.
    pub fn handle(
        &mut self,
        request: &Request,
        now: Moment,
        check: &mut dyn FnMut(&ClaimBundle) -> Result<(), Refusal>,
    ) -> (Result<Answer, Refusal>, Option<Change>) {
        if let State::Partial(partial) = &self.state
            && now.since(partial.touched) > PARTIAL_LIFE
        {
            self.state = State::Empty;
        }
        match request {
            Request::Begin {
                transfer,
                form,
                total,
                sha256,
            } => (self.begin(*transfer, *form, *total, *sha256, now), None),
            Request::Chunk {
                transfer,
                offset,
                data,
            } => (self.chunk(*transfer, *offset, data.reveal(), now), None),
            Request::Commit {
                transfer,
                now: calendar,
            } => self.commit(*transfer, *calendar, check),
            Request::Abort => {
                self.state = State::Empty;
                (Ok(Answer::Aborted), Some(Change::Wiped))
            }
        }
    }

    fn begin(
        &mut self,
        transfer: TransferId,
        form: ClaimForm,
        total: u32,
        sha256: [u8; 32],
        now: Moment,
    ) -> Result<Answer, Refusal> {
        if !self.forms.contains(&form) {
            return Err(Refusal::Unsupported);
        }
        if total == 0 {
            return Err(Refusal::Malformed);
        }
        if total > self.buffer {
            return Err(Refusal::BufferTooSmall { has: self.buffer });
        }
        let wanted = (transfer, sha256, total);
        let next = match &mut self.state {
            State::Partial(held) if (held.transfer, held.sha256, held.total) == wanted => {
                held.touched = now;
                held.len()
            }
            State::Committed {
                transfer,
                sha256,
                total,
            } if (*transfer, *sha256, *total) == wanted => *total,
            State::Empty | State::Partial(_) | State::Committed { .. } => {
                // All of it at once: a buffer that grows leaves copies of the key behind.
                let capacity = usize::try_from(total).unwrap_or_default();
                self.state = State::Partial(Partial {
                    transfer,
                    sha256,
                    form,
                    total,
                    bytes: Zeroizing::new(Vec::with_capacity(capacity)),
                    touched: now,
                });
                0
            }
        };
        Ok(Answer::Begun {
            next,
            max_chunk: self.max_chunk,
            buffer: self.buffer,
        })
    }

    fn chunk(
        &mut self,
        transfer: TransferId,
        offset: u32,
        data: &[u8],
        now: Moment,
    ) -> Result<Answer, Refusal> {
        let held = match &mut self.state {
            State::Partial(held) if held.transfer == transfer => held,
            // A repeat of the last piece after the commit changes nothing.
            State::Committed {
                transfer: own, total, ..
            } if *own == transfer => return Ok(Answer::Taken { next: *total }),
            State::Empty | State::Partial(_) | State::Committed { .. } => {
                return Err(Refusal::UnknownTransfer);
            }
        };
        let length = u32::try_from(data.len()).map_err(|_| Refusal::Malformed)?;
        let end = offset.checked_add(length).ok_or(Refusal::Malformed)?;
        if length == 0 || length > self.max_chunk || end > held.total {
            return Err(Refusal::Malformed);
        }
        held.touched = now;
        let next = held.len();
        if offset == next {
            held.bytes.extend_from_slice(data);
            return Ok(Answer::Taken { next: end });
        }
        if end <= next {
            return Ok(Answer::Taken { next });
        }
        Err(Refusal::WrongOffset { next })
    }

    fn commit(
        &mut self,
        transfer: TransferId,
        now: UnixTime,
        check: &mut dyn FnMut(&ClaimBundle) -> Result<(), Refusal>,
    ) -> (Result<Answer, Refusal>, Option<Change>) {
        match &self.state {
            State::Committed { transfer: own, .. } if *own == transfer => {
                return (Ok(Answer::Committed), None);
            }
            State::Partial(held) if held.transfer == transfer => {
                if held.len() < held.total {
                    return (Err(Refusal::Incomplete { next: held.len() }), None);
                }
            }
            State::Empty | State::Partial(_) | State::Committed { .. } => {
                return (Err(Refusal::UnknownTransfer), None);
            }
        }
        // Whatever comes of it, the half-checked bytes do not stay.
        let State::Partial(held) = core::mem::replace(&mut self.state, State::Empty) else {
            return (Err(Refusal::UnknownTransfer), None);
        };
        match held.open(now).and_then(|bundle| check(&bundle).map(|()| bundle)) {
            Ok(bundle) => {
                self.state = State::Committed {
                    transfer,
                    sha256: held.sha256,
                    total: held.total,
                };
                let bundle = Box::new(bundle);
                (Ok(Answer::Committed), Some(Change::Stored { bundle, now }))
            }
            Err(refusal) => (Err(refusal), None),
        }
    }
}

impl Partial {
    /// Bytes held; never more than `total`, so the number always fits.
    fn len(&self) -> u32 {
        u32::try_from(self.bytes.len()).unwrap_or(self.total)
    }

    /// The claim in the bytes, if they are the announced ones and it is alive.
    fn open(&self, now: UnixTime) -> Result<ClaimBundle, Refusal> {
        if <[u8; 32]>::from(Sha256::digest(&*self.bytes)) != self.sha256 {
            return Err(Refusal::HashMismatch);
        }
        let bundle = ClaimBundle::decode(&self.bytes).map_err(|_| Refusal::Unreadable)?;
        if bundle.credential.form() != self.form {
            return Err(Refusal::Unreadable);
        }
        if bundle.expires_at <= now {
            return Err(Refusal::Expired);
        }
        Ok(bundle)
    }
}
