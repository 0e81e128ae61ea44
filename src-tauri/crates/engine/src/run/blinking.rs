//! Letting a device blink, over the engine's one radio, and never over the head of a job.

use std::sync::Arc;

use commission::fault::Fault;
use commission::gatt::PeripheralId;
use commission::label::Label;
use commission::secret::Pop;

use super::Driver;
use crate::request::{Blink, BlinkError};
use crate::system::SystemEntropy;
use crate::talk;

/// A device that has blinked, or has not.
pub(super) struct Blinked {
    peripheral: PeripheralId,
    /// The proof of possession that it refused.
    refused: Option<Pop>,
}

impl Driver {
    pub(super) fn blink(&mut self, blink: Blink) {
        let Blink {
            peripheral,
            label,
            reply,
        } = blink;
        let pop = label.as_ref().and_then(|label| label.pop.clone());
        let refusal = if self.ending {
            Some(Fault::Cancelled(None).into())
        } else if self.in_hand().contains(&peripheral) {
            Some(BlinkError::InWork)
        } else if self.acquaintances.has_refused(&peripheral, pop.as_ref()) {
            Some(Fault::WrongPop.into())
        } else {
            None
        };
        let begun = match (refusal, self.around.get(&peripheral), SystemEntropy::new()) {
            (Some(refusal), ..) => Err(refusal),
            (_, None, _) => Err(Fault::NotAdvertising.into()),
            (_, _, Err(error)) => Err(error.into()),
            (_, Some(device), Ok(entropy)) => Ok((device.dialect, entropy)),
        };
        let (kind, mut entropy) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                // Dropped: then nobody wants to know.
                let _ = reply.send(Err(error));
                return;
            }
        };
        let stated = label.as_ref().and_then(Label::strength);
        let least = self.acquaintances.least(&peripheral, stated);
        self.blinking.insert(peripheral.clone());
        let (radio, clock) = (Arc::clone(&self.parts.radio), Arc::clone(&self.parts.clock));
        let mut stopped = self.stop.subscribe();
        self.blinks.spawn(async move {
            let stop = async {
                // An error means that the loop is gone, which stops it just as well.
                let _ = stopped.wait_for(|stopped| *stopped).await;
            };
            let device = (&peripheral, kind, least);
            let blinked =
                talk::blink(radio.as_ref(), device, label, clock.as_ref(), &mut entropy, stop).await;
            let refused = pop.filter(|_| blinked == Err(Fault::WrongPop));
            let _ = reply.send(blinked.map_err(BlinkError::from));
            Blinked { peripheral, refused }
        });
    }

    /// The device is free again.
    pub(super) fn blinked(&mut self, blinked: Blinked) {
        self.blinking.remove(&blinked.peripheral);
        if let Some(pop) = blinked.refused {
            self.acquaintances.refused(&blinked.peripheral, Some(&pop));
        }
    }
}
