//! The figures as a table and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use crate::floor::{Measured, Order, STAGES};

/// One device: total over floor.
const ONE_AIM: f64 = 1.10;
/// A batch: total over its own floor.
const BATCH_AIM: f64 = 1.15;
/// Client computing of a Security 2 handshake.
const HANDSHAKE_AIM: Duration = Duration::from_millis(12);

/// See the module.
#[derive(Default)]
pub(crate) struct Report {
    lines: Vec<String>,
    one: Vec<Value>,
    batch: Value,
    handshake: Value,
}

impl Report {
    /// The client's computing, the fastest first.
    pub(crate) fn handshake(&mut self, times: &[Duration]) {
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
        let (median, least) = (at(50), at(0));
        let met = median <= HANDSHAKE_AIM;
        self.lines.push(format!(
            "Security 2 handshake, client's computing: median {:.2} ms, least {:.2} ms; aim at most {} ms: {}\n",
            ms(median),
            ms(least),
            HANDSHAKE_AIM.as_millis(),
            verdict(met)
        ));
        self.handshake = json!({
            "medianMs": ms(median),
            "leastMs": ms(least),
            "aimMs": ms(HANDSHAKE_AIM),
            "met": met,
        });
    }

    /// One device alone.
    pub(crate) fn one(&mut self, name: &str, run: &Measured, order: &Order) {
        let floor = order.floor;
        let ratio = ratio(run.total, floor.total());
        let met = ratio <= ONE_AIM;
        self.lines.push(format!("One device: {name}"));
        self.lines.push(format!(
            "  {:<12} {:>9} {:>9} {:>9}",
            "stage", "ms", "floor", "ours"
        ));
        let mut stages = serde_json::Map::new();
        for stage in STAGES {
            let (took, least) = order.stages.get(stage).copied().unwrap_or_default();
            self.lines.push(format!(
                "  {stage:<12} {:>9.0} {:>9.0} {:>9.0}",
                ms(took),
                ms(least),
                ms(took) - ms(least)
            ));
            stages.insert(stage.into(), json!({ "ms": ms(took), "floorMs": ms(least) }));
        }
        self.lines.push(format!(
            "  {:<12} {:>9.0} {:>9.0} {:>9.0}   ratio {ratio:.3}; aim at most {ONE_AIM:.2}: {}",
            "total",
            ms(run.total),
            ms(floor.total()),
            ms(run.total) - ms(floor.total()),
            verdict(met)
        ));
        self.lines.push(format!(
            "  floor: found {:.0}, link {:.0}, operations {:.0}, scan {:.0}, join {:.0}, enrol {:.0}",
            ms(floor.found),
            ms(floor.setup),
            ms(floor.operations),
            ms(floor.scan),
            ms(floor.join),
            ms(floor.enrol)
        ));
        self.lines.push(format!(
            "  GATT up to Apply: {} operations, {} round trips, {} bytes; in all: {}, {}, {}\n",
            order.operations.0,
            order.round_trips.0,
            order.bytes.0,
            order.operations.1,
            order.round_trips.1,
            order.bytes.1
        ));
        self.one.push(json!({
            "device": name,
            "stages": stages,
            "totalMs": ms(run.total),
            "finishedMs": ms(run.finished),
            "floorMs": ms(floor.total()),
            "floor": {
                "foundMs": ms(floor.found),
                "linkMs": ms(floor.setup),
                "operationsMs": ms(floor.operations),
                "scanMs": ms(floor.scan),
                "joinMs": ms(floor.join),
                "enrolMs": ms(floor.enrol),
            },
            "ratio": ratio,
            "aim": ONE_AIM,
            "met": met,
            "gattUpToApply": { "operations": order.operations.0, "roundTrips": order.round_trips.0, "bytes": order.bytes.0 },
            "gatt": { "operations": order.operations.1, "roundTrips": order.round_trips.1, "bytes": order.bytes.1 },
        }));
    }

    /// The same batch over several links, and one after another.
    pub(crate) fn batch(&mut self, links: usize, several: &Measured, single: &Measured) {
        let devices = several.orders.len();
        let gain = ratio(single.total, several.total);
        self.lines.push(format!("Batch of {devices} devices"));
        self.lines.push(format!(
            "  {:<12} {:>9} {:>9} {:>9}",
            "links", "s", "floor", "ratio"
        ));
        let mut rows = Vec::new();
        for (links, run) in [(links, several), (1, single)] {
            let floor = run.schedule(links);
            let ratio = ratio(run.total, floor);
            let met = ratio <= BATCH_AIM;
            self.lines.push(format!(
                "  {links:<12} {:>9.1} {:>9.1} {ratio:>9.3}   aim at most {BATCH_AIM:.2}: {}",
                run.total.as_secs_f64(),
                floor.as_secs_f64(),
                verdict(met)
            ));
            rows.push(json!({
                "links": links,
                "totalMs": ms(run.total),
                "floorMs": ms(floor),
                "ratio": ratio,
                "aim": BATCH_AIM,
                "met": met,
            }));
        }
        self.lines
            .push(format!("  {links} links are {gain:.2} times as fast as one\n"));
        self.batch = json!({ "devices": devices, "runs": rows, "gain": gain });
    }

    /// The table.
    #[expect(clippy::print_stdout, reason = "the table is what a benchmark is for")]
    pub(crate) fn print(&self) {
        for line in &self.lines {
            println!("{line}");
        }
    }

    /// The same for a program.
    pub(crate) fn json(&self) -> Value {
        json!({ "one": self.one, "batch": self.batch, "handshake": self.handshake })
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn ratio(took: Duration, floor: Duration) -> f64 {
    took.as_secs_f64() / floor.as_secs_f64()
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "not met" }
}
