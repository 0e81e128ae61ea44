//! The numbers that Espressif's own C code and Python tools agree on, and the zero bytes that they stumble over.

use super::*;
use alloc::format;
use alloc::string::String;
use sha2::Sha256;

const USER: &[u8] = b"wifiprov";
const SALT: &str = "036ee0c7bcb9eda84c9eac97d93decf4";
/// `a` and `b` of the vectors, all but their last two bytes.
const A: &str = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d";
const B: &str = "4142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e";

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn pop(text: &str) -> Pop {
    Pop::new(text)
}

fn fixed(text: &str) -> impl FnMut(&mut [u8]) {
    let given = bytes(text);
    move |out: &mut [u8]| out.copy_from_slice(&given)
}

fn client(last: &str) -> ClientKey {
    ClientKey::generate(&mut fixed(&format!("{A}{last}")))
}

fn device(verifier: &SecretBytes, last: &str) -> DeviceKey {
    DeviceKey::generate(verifier, &mut fixed(&format!("{B}{last}"))).unwrap()
}

/// Both sides, with the usual user name; they must agree with each other before they agree with the vectors.
fn both(password: &str, rule: XRule, salt: &str, a: &str, b: &str) -> Agreed {
    let (password, salt) = (pop(password), bytes(salt));
    let verifier = verifier(USER, &password, &salt, rule);
    let (client, device) = (client(a), device(&verifier, b));
    let ours = client
        .agree(USER, &password, rule, device.public(), &salt)
        .unwrap();
    let theirs = device.agree(USER, client.public(), &salt).unwrap();
    assert_eq!(ours.key, theirs.key);
    assert_eq!(ours.client_proof, theirs.client_proof);
    assert_eq!(ours.device_proof, theirs.device_proof);
    ours
}

#[test]
fn the_modulus_is_rfc_5054s() {
    assert_eq!(
        sha256(&modulus_bytes()),
        "48cf8b092fbce4359d9871abf74f98e25b6163379eaa15cd9087e800c6d1c55c"
    );
}

#[test]
fn every_value_is_the_vectors() {
    let (password, salt) = (pop("abcd1234"), bytes(SALT));
    let x = private_value(USER, &password, &salt, XRule::Rfc);
    assert_eq!(
        hex::encode(x.to_be_bytes()),
        "869b97a7399bdc2e9e2943dbf1f5347a10108ea60e278cafb5849aa0c14f6b73\
         5aa186d260e779838af03d4393961086dabe3321c01c58672f186b698f83314a"
    );
    assert_eq!(
        hex::encode(&padded(&multiplier())[PUBLIC_LEN - 64..]),
        "a9c2e2559bf0ebb53f0cbbf62282906bede7f2182f00678211fbd5bde5b28503\
         3a4993503b87397f9be5ec02080fedbc0835587ad039060879b8621e8c3659e0"
    );
    let verifier = verifier(USER, &password, &salt, XRule::Rfc);
    assert_eq!(
        sha256(verifier.reveal()),
        "e985f1fb10e7c5aaf625ec7cc0896e8f92bdcd5b621141766ea6ea93bd899b06"
    );

    let (client, device) = (client("9e9f"), device(&verifier, "5f60"));
    assert_eq!(hex::encode(&client.public()[..8]), "ccca32f3b34e2841");
    assert_eq!(
        sha256(client.public()),
        "53e812f2b072c01595cb13767c5889feee35373a4f1fe0be265bd663ae9f6d50"
    );
    assert_eq!(hex::encode(&device.public()[..8]), "7af79d9ccc709aef");
    assert_eq!(device.public().len(), 384);
    assert_eq!(
        sha256(device.public()),
        "55355689cb7073ab76d1a2fc7d618c7a214dce5adc6999842c89233b96cab776"
    );
    let u = scrambler(client.public(), &pad(device.public()));
    assert_eq!(
        hex::encode(u.to_be_bytes()),
        "dde83c2cd2d12da3326b5a50eee3522dc3b913355881fd0d67eadae5f5952542\
         0bec6201b429684916c2fd92fe4871497ac735ebcd9cd3c84220822f82ca3e57"
    );

    let s = (number(client.public(), "A").unwrap() * device.verifier.pow(&u)).pow(&*device.secret);
    assert_eq!(
        sha256(&padded(&s)),
        "e64ba4663fcf42e9c4ff0ca88f299fedec089b094db11d394fc26b4bcbf53888"
    );

    let agreed = both("abcd1234", XRule::Rfc, SALT, "9e9f", "5f60");
    assert_eq!(
        hex::encode(*agreed.key),
        "0e16dd63244870ef7ae86eb579a68c1bb3caa9cccacede374902ab3cfe268032\
         acac400d90b1b3900f9149a75c770e7f7420426e1c43b85fdeb3ccb36f2c0804"
    );
    assert_eq!(
        hex::encode(agreed.client_proof),
        "02a3793107bd47b0b518bdd51c1d410ffb6b48659dcd843bf5173c78e552d10e\
         95d48c772227895d2ed85439e8477d7fb90cdb14d075d2944351beb52e591b83"
    );
    assert_eq!(
        hex::encode(agreed.device_proof),
        "485c81d3f4b7119d4904da98ff93a312764672d94b069a8890a53b238c73666a\
         afdb8decab0ee8b6c7879ad3a17e9c5df3b573d244cc54074d34c2f4ea217311"
    );
}

#[test]
fn a_leading_zero_of_a_is_kept() {
    assert_eq!(client("a095").public()[0], 0);
    let agreed = both("abcd1234", XRule::Rfc, SALT, "a095", "5f60");
    assert_eq!(hex::encode(&agreed.key[..8]), "99803bfc5f6720f9");
    assert_eq!(
        hex::encode(agreed.client_proof),
        "fb2ca95fb43c54c1c6ca53bcc4da5d36ac4cf583fd9f3be19be03b6d39def274\
         fea0532592c8d29ba966051e0d3333da2bc2760d9c75e8c436e63fba648fd89d"
    );
    assert_eq!(hex::encode(&agreed.device_proof[..8]), "010215dc7a64eec1");
}

#[test]
fn a_leading_zero_of_b_is_not_sent() {
    let verifier = verifier(USER, &pop("abcd1234"), &bytes(SALT), XRule::Rfc);
    assert_eq!(device(&verifier, "60d0").public().len(), 383);
    let agreed = both("abcd1234", XRule::Rfc, SALT, "9e9f", "60d0");
    assert_eq!(hex::encode(&agreed.key[..8]), "c324ba8c9b0b30c9");
    assert_eq!(
        hex::encode(agreed.client_proof),
        "43e62cf3f1f8a13018691c4e0812a3ef6e24d7ebdfccb6553fd4e89d6e2c7fb7\
         9ab74016e75434600de60807815403ecf01eb38fa6a3422118e3702614e8e979"
    );
    assert_eq!(hex::encode(&agreed.device_proof[..8]), "130d445b9fdd0f6a");
}

/// Worked out with Python's own integers, as are the values of the rules below.
#[test]
fn a_leading_zero_of_s_is_not_hashed() {
    let agreed = both("abcd1234", XRule::Rfc, SALT, "9e9f", "6062");
    assert_eq!(hex::encode(&agreed.key[..8]), "3bd41e3d7a18005e");
    assert_eq!(
        hex::encode(agreed.client_proof),
        "25ce543aeaec58a2533041e03de641782dc54ca3919ed8d23a105009c1cb4220\
         d4052792d162dd60f18bd1c54d61c691b7bde7141514062eb5f5a88cb95811e2"
    );
    assert_eq!(hex::encode(&agreed.device_proof[..8]), "c4ca24a37f739990");
}

#[test]
fn the_rules_differ_where_the_inner_hash_starts_with_a_zero() {
    let password = pop("pop212");
    assert!(esp_prov_differs(USER, &password, &bytes(SALT)));
    let verifier = |rule| sha256(verifier(USER, &password, &bytes(SALT), rule).reveal());
    assert_eq!(
        verifier(XRule::Rfc),
        "8c4992d467a28ab8f085c43000c1072161f28b96e2c0b7823e2f6643827e2f32"
    );
    assert_eq!(
        verifier(XRule::EspProv),
        "16a5a184cfd28ac4cb4b61af42bde80dcf7f37f259cad978d515f66450754729"
    );
    let rfc = both("pop212", XRule::Rfc, SALT, "9e9f", "5f60");
    assert_eq!(
        hex::encode(&rfc.client_proof[..16]),
        "d5d09092d0f9cbdda1ddb43f9f5c2fab"
    );
    let esp_prov = both("pop212", XRule::EspProv, SALT, "9e9f", "5f60");
    assert_eq!(
        hex::encode(&esp_prov.client_proof[..16]),
        "b1462e6cf97480216dabc498b82e14b0"
    );
}

#[test]
fn the_rules_differ_where_the_salt_starts_with_a_zero() {
    let (password, salt) = (pop("abcd1234"), bytes("006ee0c7bcb9eda84c9eac97d93decf4"));
    assert!(esp_prov_differs(USER, &password, &salt));
    let verifier = |rule| sha256(verifier(USER, &password, &salt, rule).reveal());
    assert_eq!(
        verifier(XRule::Rfc),
        "f58e1381966a3d5ee8d702e035dbac42f61fd0a768f65ee08340a79a12d96051"
    );
    assert_eq!(
        verifier(XRule::EspProv),
        "3a388d7ed0a7fc479f1005f9c18c2307e6eeb08d5760ac5e86bf2eaf84f1fa67"
    );
    let esp_prov = both("abcd1234", XRule::EspProv, &hex::encode(&salt), "9e9f", "5f60");
    assert_eq!(
        hex::encode(&esp_prov.client_proof[..16]),
        "c0c5ba4a8ecaa842384342a78d6d79d8"
    );
}

#[test]
fn elsewhere_the_rules_are_one() {
    let password = pop("abcd1234");
    assert!(!esp_prov_differs(USER, &password, &bytes(SALT)));
    let x = |rule| private_value(USER, &password, &bytes(SALT), rule);
    assert_eq!(x(XRule::Rfc), x(XRule::EspProv));
    assert_ne!(x(XRule::Rfc), x(XRule::ShortSalt));
}

#[test]
fn a_short_salt_enters_x_alone() {
    let password = pop("abcd1234");
    let verifier = verifier(USER, &password, &bytes(SALT), XRule::ShortSalt);
    assert_eq!(
        sha256(verifier.reveal()),
        "7a29ad021b64fb18b1db5a97099b0b31b884c6c0be88e517c492c00b70552899"
    );
    let agreed = both("abcd1234", XRule::ShortSalt, SALT, "9e9f", "5f60");
    assert_eq!(
        hex::encode(&agreed.client_proof[..16]),
        "670e211a2d929ae00e2a793214509fe3"
    );
    // An empty salt has no last byte to lose.
    assert_eq!(
        private_value(USER, &password, b"", XRule::ShortSalt),
        private_value(USER, &password, b"", XRule::Rfc)
    );
}

#[test]
fn public_values_that_are_multiples_of_the_modulus_are_refused() {
    let (password, salt) = (pop("abcd1234"), bytes(SALT));
    let verifier = verifier(USER, &password, &salt, XRule::Rfc);
    let (client, device) = (client("9e9f"), device(&verifier, "5f60"));
    for weak in [&[0][..], &[0; PUBLIC_LEN], &modulus_bytes()] {
        let outcome = client.agree(USER, &password, XRule::Rfc, weak, &salt);
        assert_eq!(outcome.map(|_| ()), Err(HandshakeError::WeakPublicValue));
    }
    for weak in [&[0; PUBLIC_LEN], &modulus_bytes()] {
        let outcome = device.agree(USER, weak, &salt);
        assert_eq!(outcome.map(|_| ()), Err(HandshakeError::WeakPublicValue));
    }
}

#[test]
fn a_public_key_of_a_wrong_size_is_refused() {
    let wrong = |got| {
        Err(HandshakeError::Wire(WireError::Length {
            field: "device's public key",
            min: 1,
            max: 384,
            got,
        }))
    };
    let client = client("9e9f");
    let agree = |public: &[u8]| {
        client
            .agree(USER, &pop("abcd1234"), XRule::Rfc, public, &bytes(SALT))
            .map(|_| ())
    };
    assert_eq!(agree(&[]), wrong(0));
    assert_eq!(agree(&[1; 385]), wrong(385));
    assert_eq!(agree(&[7]), Ok(()));
    let verifier = SecretBytes::new(alloc::vec![1; 385]);
    assert!(DeviceKey::generate(&verifier, &mut fixed(&format!("{B}5f60"))).is_err());
}
