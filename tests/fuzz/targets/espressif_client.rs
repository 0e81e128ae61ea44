//! A whole conversation with a device that answers anything: no answer may upset the client or make it ask for ever.
#![no_main]

use std::time::Duration;

use commission::device::DialectKind;
use commission::dialect::{self, Command};
use commission::gatt::{Characteristic, CharacteristicId, GattTable, LinkError, Properties};
use commission::policy::Limits;
use commission::secret::Pop;
use commission::time::Moment;
use uuid::Uuid;

/// More operations than any sound conversation needs.
const MOST: usize = 4000;

/// The example service with prov-ctrl to proto-ver and four endpoints of our own.
fn table() -> GattTable {
    let service = Uuid::from_u128(0x021a_9004_0382_4aea_bff4_6b3f_1c5a_dfb4);
    let characteristic = |id: u128| Characteristic {
        id: CharacteristicId {
            service,
            characteristic: Uuid::from_u128(service.as_u128() & !(0xffff << 96) | (id << 96)),
        },
        properties: Properties { read: true, write: true, ..Properties::default() },
        descriptors: vec![Uuid::from_u128(0x2901 << 96 | 0x1000_8000_0080_5f9b_34fb)],
    };
    GattTable { characteristics: (0xff4f..=0xff57).map(characteristic).collect() }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let mut answer = || {
        let (length, tail) = rest.split_first()?;
        let (bytes, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        rest = tail;
        Some(bytes.to_vec())
    };
    let mut steady = |bytes: &mut [u8]| bytes.fill(7);
    let mut client = dialect::client(DialectKind::Espressif, &table(), &Limits::default());
    let commands = [
        Command::Describe,
        Command::Open { pop: Some(Pop::new("abcd1234")), username: None, refusals: 0 },
        Command::Identify { challenge: [9; 32] },
        Command::Scan,
        Command::Apply,
        Command::JoinStatus,
        Command::EnrolStatus,
        Command::ResetNetwork,
        Command::AbortClaim,
    ];
    let mut now = Moment::new(Duration::from_secs(1));
    let mut operations = 0;
    for command in commands {
        client.begin(command, now, &mut steady);
        loop {
            while client.poll_report().is_some() {}
            if client.poll_gatt().is_some() {
                operations += 1;
                assert!(operations < MOST, "the client never stops asking");
                client.handle(answer().ok_or(LinkError::NotConnected), now, &mut steady);
            } else if let Some(moment) = client.poll_timeout() {
                now = moment.max(now + Duration::from_millis(1));
                client.handle_timeout(now);
            } else {
                break;
            }
        }
    }
});
