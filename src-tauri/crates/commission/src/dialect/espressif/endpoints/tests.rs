//! Which characteristic is which endpoint: by name, else by id.

use super::*;
use crate::dialect::espressif::advert::{COMPONENT_SERVICE, EXAMPLE_SERVICE};
use crate::gatt::Properties;
use alloc::vec;
use proptest::prelude::*;

const OTHER: Uuid = uuid!("a1b2c3d4-0000-4000-8000-0123456789ab");
const BATTERY: Uuid = uuid!("0000180f-0000-1000-8000-00805f9b34fb");

fn row(service: Uuid, id: u16, descriptors: &[Uuid]) -> Characteristic {
    Characteristic {
        id: CharacteristicId {
            service,
            characteristic: characteristic(service, id),
        },
        properties: Properties {
            read: true,
            write: true,
            ..Properties::default()
        },
        descriptors: descriptors.to_vec(),
    }
}

fn standard(service: Uuid) -> Vec<Characteristic> {
    let ids = STANDARD.iter().map(|(_, id)| *id);
    ids.map(|id| row(service, id, &[USER_DESCRIPTION])).collect()
}

/// Maps with `read` as the device; also the number of reads.
fn map(
    characteristics: Vec<Characteristic>,
    read: impl Fn(CharacteristicId) -> Result<Vec<u8>, LinkError>,
) -> (Result<Endpoints, Fault>, usize) {
    let mut mapper = Mapper::new(&GattTable { characteristics });
    let mut reads = 0;
    while let Some(GattOp::ReadDescriptor(id, descriptor)) = mapper.op() {
        assert_eq!(descriptor, USER_DESCRIPTION);
        reads += 1;
        mapper.handle(read(id)).unwrap();
    }
    (mapper.finish(), reads)
}

fn standard_name(id: CharacteristicId) -> Result<Vec<u8>, LinkError> {
    let number = id_of(id).unwrap();
    let name = STANDARD.iter().find(|(_, own)| *own == number);
    name.map(|(name, _)| name.as_bytes().to_vec())
        .ok_or(LinkError::Missing)
}

#[test]
fn characteristic_uuids_are_the_published_ones() {
    assert_eq!(
        characteristic(EXAMPLE_SERVICE, 0xff51),
        uuid!("021aff51-0382-4aea-bff4-6b3f1c5adfb4")
    );
    assert_eq!(
        characteristic(COMPONENT_SERVICE, 0xff51),
        uuid!("1775ff51-6b43-439b-877c-060f2d9bed07")
    );
}

#[test]
fn names_are_read_of_the_provisioning_service_alone() {
    let mut table = vec![row(BATTERY, 0x2a19, &[USER_DESCRIPTION])];
    table.extend((0..3).map(|id| row(OTHER, id, &[USER_DESCRIPTION])));
    table.extend(standard(EXAMPLE_SERVICE));
    let (endpoints, reads) = map(table, standard_name);
    let endpoints = endpoints.unwrap();
    assert_eq!(reads, 5);
    for (name, id) in STANDARD {
        let characteristic = characteristic(EXAMPLE_SERVICE, id);
        assert_eq!(endpoints.get(name).unwrap().characteristic, characteristic);
    }
    assert_eq!(
        endpoints.get(CLOUD_CRED),
        Err(Fault::EndpointMissing("cloud-cred".into()))
    );
}

#[test]
fn a_name_goes_before_an_id_whatever_its_case() {
    // Session and config have changed places.
    let (endpoints, _) = map(standard(OTHER), |id| match id_of(id) {
        Some(0xff51) => Ok(b"PROV-CONFIG".to_vec()),
        Some(0xff52) => Ok(b"Prov-Session\0".to_vec()),
        _ => standard_name(id),
    });
    let session = endpoints.unwrap().get(PROV_SESSION).unwrap();
    assert_eq!(id_of(session), Some(0xff52));
}

#[test]
fn ids_stand_in_for_names_that_cannot_be_read() {
    let refusals = [
        Err(LinkError::Att(0x02)),
        Err(LinkError::Missing),
        Ok(Vec::new()),
        Ok(vec![0xff, 0xfe]),
    ];
    for refusal in refusals {
        let (endpoints, reads) = map(standard(OTHER), |_| refusal.clone());
        assert!(endpoints.unwrap().has(PROV_SESSION));
        assert_eq!(reads, 5);
    }
    let without: Vec<_> = STANDARD.iter().map(|(_, id)| row(OTHER, *id, &[])).collect();
    let (endpoints, reads) = map(without, |_| panic!("nothing to read"));
    assert!(endpoints.unwrap().has(PROTO_VER));
    assert_eq!(reads, 0);
}

#[test]
fn our_endpoints_are_assumed_by_id_only_where_no_name_could_be_read() {
    let offer = Offer {
        identity: true,
        credentials: true,
        ..Offer::default()
    };
    let mut table = standard(OTHER);
    table.extend([row(OTHER, 0xff54, &[]), row(OTHER, 0xff55, &[])]);
    let (nameless, _) = map(table.clone(), |_| Err(LinkError::Att(2)));
    let mut nameless = nameless.unwrap();
    assert!(!nameless.has(CLOUD_CRED));
    nameless.assume(&offer);
    assert_eq!(id_of(nameless.get(IDENTITY).unwrap()), Some(0xff54));
    assert_eq!(id_of(nameless.get(CLOUD_CRED).unwrap()), Some(0xff55));

    table[5].descriptors = vec![USER_DESCRIPTION];
    let (named, _) = map(table, |id| match id_of(id) {
        Some(0xff54) => Ok(b"cloud-cred".to_vec()),
        _ => standard_name(id),
    });
    let mut named = named.unwrap();
    named.assume(&offer);
    assert_eq!(id_of(named.get(CLOUD_CRED).unwrap()), Some(0xff54));
    assert!(!named.has(IDENTITY));
}

#[test]
fn another_service_is_tried_where_the_likeliest_is_not_it() {
    // The likely one has ids by the rule, but names of its own; the real one has other ids.
    let mut table = standard(EXAMPLE_SERVICE);
    table.extend((1..4).map(|id| row(OTHER, id, &[USER_DESCRIPTION])));
    let (endpoints, reads) = map(table, |id| {
        Ok(match (id.service, id_of(id)) {
            (EXAMPLE_SERVICE, _) => b"log".to_vec(),
            (_, Some(1)) => b"proto-ver".to_vec(),
            (_, Some(2)) => b"prov-session".to_vec(),
            _ => b"prov-config".to_vec(),
        })
    });
    assert_eq!(endpoints.unwrap().get(PROV_SESSION).unwrap().service, OTHER);
    assert_eq!(reads, 8);
}

#[test]
fn what_is_missing_is_named() {
    let missing = |name: &str| Err(Fault::EndpointMissing(name.into()));
    assert_eq!(map(vec![], standard_name).0, missing("proto-ver"));
    let mut table = standard(OTHER);
    table.remove(2);
    assert_eq!(map(table, standard_name).0, missing("prov-session"));
    let mut read_only = standard(OTHER);
    read_only[3].properties.write = false;
    assert_eq!(map(read_only, standard_name).0, missing("prov-config"));
}

#[test]
fn a_lost_link_ends_the_mapping() {
    let mut mapper = Mapper::new(&GattTable {
        characteristics: standard(OTHER),
    });
    assert_eq!(
        mapper.handle(Err(LinkError::NotConnected)),
        Err(LinkError::NotConnected)
    );
}

proptest! {
    #[test]
    fn ids_survive_the_rule(service: u128, id: u16) {
        let service = Uuid::from_u128(service);
        let characteristic = characteristic(service, id);
        prop_assert_eq!(id_of(CharacteristicId { service, characteristic }), Some(id));
    }

    #[test]
    fn any_name_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = name_in(&bytes);
    }
}
