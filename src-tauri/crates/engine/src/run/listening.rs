//! The radio's ears: open while a person or an order wants it, and opened again after trouble.

use std::sync::Arc;

use commission::time::Moment;
use tokio::sync::mpsc;

use super::{Driver, Wake};
use crate::ports::Radio;

impl Driver {
    /// The radio listens while a person or an order wants it to, and tries again after trouble.
    pub(super) fn tend_ears(&mut self, now: Moment) {
        // While jobs rest, whether the radio hears says whether it is back.
        let rests = self.reception.rests() && self.is_at_work();
        if !self.wanted_listening && self.finder.is_empty() && self.twins.is_empty() && !rests {
            self.stop_ears();
            self.listen_at = None;
            self.show_listening(false, None);
        } else if self.ears.is_none() && self.listen_at.is_none_or(|at| at <= now) {
            self.listen_at = None;
            self.generation += 1;
            let listening = listen(Arc::clone(&self.parts.radio), self.generation, self.wakes.clone());
            self.ears = Some((self.generation, tokio::spawn(listening)));
        }
    }

    /// Whether this is the present time of listening, and not one that was broken off.
    pub(super) fn listens_as(&self, generation: u64) -> bool {
        self.ears
            .as_ref()
            .is_some_and(|(present, _)| *present == generation)
    }

    pub(super) fn stop_ears(&mut self) {
        if let Some((_, ears)) = self.ears.take() {
            ears.abort();
        }
    }
}

async fn listen(radio: Arc<dyn Radio>, generation: u64, wakes: mpsc::UnboundedSender<Wake>) {
    let trouble = match radio.scan().await {
        Ok(mut sightings) => {
            let mut stands = wakes.send(Wake::Hearing(generation)).is_ok();
            while stands && let Some(sighting) = sightings.recv().await {
                stands = wakes.send(Wake::Heard(sighting)).is_ok();
            }
            None
        }
        Err(error) => Some(error),
    };
    let _ = wakes.send(Wake::Deaf(generation, trouble));
}
