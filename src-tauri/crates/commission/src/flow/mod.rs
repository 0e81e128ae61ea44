//! The state machine that takes one device from found to released, and the batch that runs several.
//!
//! It decides and does nothing: the caller hands in what happened ([`Input`]) with the time, takes out what to do
//! ([`Action`]) and what became known ([`Event`]), and calls back at the stated moment. Every step with an effect
//! outside is asked to be written down ([`Action::Record`]) and is done only after [`Ended::Recorded`].
//!
//! A job is a state (one file a stage) over a context. A stage hears `context::Signal`s and answers with the state
//! that follows. What goes on beside the stages lives in the context: the link and the dialect's client on it
//! (`link`), the one claim (`purse`), what the cloud has seen (`watch`), and the other calls to the cloud (`cloud`).
//! Stages look at those whenever there is news, so that an answer which comes early or late finds its place.
//!
//! ```text
//! recalling (after a restart)
//!    │
//! linking ─ proving ─ identifying ─ networking ─ crediting ─ joining ─ enrolling ─ verifying ─ releasing ─ Done
//!    ▲                                  ▲            ▲          │ │        │            │
//!    │                                  │            └──────────┼─┼────────┘ claim died │
//!    │                                  └── wrong passphrase ───┘ │        unused       │
//!    └───── link lost: before apply again; after apply to look back, while the cloud is watched
//! any ─ undoing ─ Failed or Unknown
//! ```

mod attempt;
mod batch;
mod cloud;
mod context;
mod crediting;
mod enrolling;
mod identifying;
mod io;
mod job;
mod joining;
mod link;
mod linking;
mod networking;
mod proving;
mod purse;
mod recalling;
mod reclaiming;
mod releasing;
mod remains;
mod retiring;
mod status;
mod switching_off;
mod undoing;
mod verifying;
mod watch;

pub use batch::Batch;
pub use io::*;
pub use job::Job;
pub use link::Dialects;

#[cfg(test)]
mod tests;
