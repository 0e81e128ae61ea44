//! One command to one device outside a commissioning job: looking at what it can do, letting it blink.
//!
//! Nothing here changes a device or a cloud, so nothing is journaled.

use commission::dialect::{Client, Command, Report};
use commission::fault::Fault;
use commission::secret::Entropy;

use crate::ports::{Clock, Link};

/// Runs a command of a dialect's client over a link to its end.
///
/// # Errors
/// The [`Fault`] that the dialect ended with, or that it ended without a report.
pub async fn talk(
    link: &dyn Link,
    client: &mut (dyn Client + Send),
    command: Command,
    clock: &dyn Clock,
    entropy: &mut (dyn Entropy + Send),
) -> Result<Report, Fault> {
    client.begin(command, clock.now(), entropy);
    loop {
        while let Some(report) = client.poll_report() {
            match report {
                Report::Failed(fault) => return Err(fault),
                Report::ClaimProgress { .. } => {}
                report => return Ok(report),
            }
        }
        if let Some(op) = client.poll_gatt() {
            let result = link.perform(&op).await;
            client.handle(result, clock.now(), entropy);
        } else if let Some(moment) = client.poll_timeout() {
            clock.sleep_until(moment).await;
            client.handle_timeout(clock.now());
        } else {
            return Err(Fault::Protocol("the dialect stopped without a report".into()));
        }
    }
}
