//! `DEVICE.md` says what firmware makers build by, so what it says is checked here against what the code does.

use core::time::Duration;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;
use std::{format, println};

use sha2::{Digest, Sha256};

use super::cloud_cred::{self, Answer, ClaimBundle, Credential, Request};
use super::identity::{self, Page, Statement};
use super::offer::Offer;
use super::transcript::Transcript;
use super::wire::version::{App, Version};
use super::{blink, cloud_status, endpoints};
use crate::claim::ClaimForm;
use crate::device::{DeviceKey, Firmware, Serial, SignatureScheme};
use crate::dialect::Enrol;
use crate::secret::SecretBytes;
use crate::time::UnixTime;

const DOCUMENT: &str = include_str!("../../../DEVICE.md");

fn bundle() -> ClaimBundle {
    ClaimBundle {
        id: "c1".into(),
        credential: Credential::Certificate {
            chain: vec![vec![0x30, 0x01, 0x01]],
            key: Some(SecretBytes::new(vec![0x30, 0x01, 0x02])),
        },
        host: "cloud.test".into(),
        port: 8883,
        ca: vec![vec![0x30, 0x01, 0x03]],
        template: "lamps".into(),
        parameters: [("SerialNumber".to_string(), "SN-1".to_string())].into(),
        issued_at: UnixTime(1_800_000_000),
        expires_at: UnixTime(1_800_000_300),
    }
}

fn statement() -> Statement {
    Statement {
        serial: Serial::new("SN-1").unwrap(),
        model: "lamp".into(),
        firmware: Firmware("1.2.3".into()),
        scheme: SignatureScheme::EcdsaP256Sha256,
        key: DeviceKey::Spki(vec![0x30, 0x01, 0x04]),
        endorsement_key: None,
    }
}

/// The handshake of the published Security 1 vectors: PoP `abcd1234`, private keys 01..20 and 21..40.
fn binding() -> [u8; 32] {
    let client = "07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c";
    let device = "5869aff450549732cbaaed5e5df9b30a6da31cb0e5742bad5ad4a1a768f1a67b";
    let messages = [
        format!("10015a25a201220a20{client}"),
        format!("10015a390801aa01341220{device}1a10a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"),
        "10015a270802b201221220527d5d0604ab390e387edfb2edd69291a9f5d3bc2486b9bfaf469157071f4eee".into(),
        "10015a270803ba01221a202269f29d63597181e5a9ccb15dc0acde206674f74dbc91b1a0ad13a412d8403d".into(),
    ];
    let [a, b, c, d] = messages.map(|text: String| hex::decode(text).unwrap());
    let mut transcript = Transcript::default();
    transcript.exchange(&a, &b);
    transcript.exchange(&c, &d);
    transcript.binding()
}

fn offer() -> Offer {
    Offer {
        credentials: true,
        chunk_400: true,
        claims: vec![ClaimForm::PublicKey, ClaimForm::Certificate],
        status: true,
        identity: true,
        blink: true,
        keep_link: true,
        lockout: Some(5),
    }
}

/// Every vector of the document: its name and its bytes.
fn vectors() -> Vec<(&'static str, Vec<u8>)> {
    let bytes = bundle().encode();
    let sha256: [u8; 32] = Sha256::digest(bytes.reveal()).into();
    let transfer = *sha256.first_chunk::<8>().unwrap();
    let challenge = [0xc4; 32];
    let proof = statement().answer(&[0x30, 0x01, 0x05]);
    let begin = Request::Begin {
        transfer,
        form: ClaimForm::Certificate,
        total: bytes.len().try_into().unwrap(),
        sha256,
    };
    let chunk = Request::Chunk {
        transfer,
        offset: 0,
        data: SecretBytes::new(bytes.reveal()[..16].to_vec()),
    };
    let commit = Request::Commit {
        transfer,
        now: UnixTime(1_800_000_010),
    };
    let request = |request: Request| request.encode().reveal().to_vec();
    let answer = |answer| cloud_cred::response(&answer);
    let begun = Answer::Begun {
        next: 0,
        max_chunk: 200,
        buffer: 8192,
    };
    let page = Page {
        total: proof.len().try_into().unwrap(),
        offset: 0,
        data: proof.clone(),
    };
    let online = Enrol::Online {
        thing: Some("lamp-1".into()),
        principal: "ab12".into(),
    };
    let refused = Enrol::Refused {
        code: "AccessDenied".into(),
        message: "no".into(),
    };
    vec![
        ("bundle", bytes.reveal().to_vec()),
        ("bundle SHA-256", sha256.to_vec()),
        ("begin", request(begin)),
        ("begun at 0", answer(Ok(begun))),
        ("chunk at 0, 16 bytes", request(chunk)),
        ("taken up to 16", answer(Ok(Answer::Taken { next: 16 }))),
        ("commit", request(commit)),
        ("committed", answer(Ok(Answer::Committed))),
        ("abort", request(Request::Abort)),
        ("aborted", answer(Ok(Answer::Aborted))),
        (
            "buffer too small, has 3072",
            answer(Err(cloud_cred::Refusal::BufferTooSmall { has: 3072 })),
        ),
        (
            "wrong offset, wants 200",
            answer(Err(cloud_cred::Refusal::WrongOffset { next: 200 })),
        ),
        ("key mismatch", answer(Err(cloud_cred::Refusal::KeyMismatch))),
        ("get enrolment", cloud_status::request()),
        ("waiting", cloud_status::response(&Enrol::Waiting)),
        ("online", cloud_status::response(&online)),
        ("refused", cloud_status::response(&refused)),
        ("claim expired", cloud_status::response(&Enrol::ClaimExpired)),
        ("session binding", binding().to_vec()),
        ("prove", identity::Request::Prove { challenge }.encode()),
        ("message to sign", statement().message(&challenge, &binding())),
        ("identity answer", proof),
        ("page", identity::response(&Ok(page))),
        ("more from 200", identity::Request::More { offset: 200 }.encode()),
        (
            "cannot sign",
            identity::response(&Err(identity::Refusal::CannotSign)),
        ),
        ("blink", blink::request()),
        ("blinks", blink::response()),
    ]
}

#[test]
fn document_has_every_vector() {
    let missing: Vec<String> = vectors()
        .into_iter()
        .map(|(name, bytes)| format!("| {name} | `{}` |", hex::encode(bytes)))
        .filter(|row| !DOCUMENT.contains(row))
        .collect();
    for row in &missing {
        println!("{row}");
    }
    assert_eq!(missing.len(), 0, "rows that DEVICE.md lacks are printed above");
}

#[test]
fn document_has_no_vector_that_the_code_does_not_make() {
    let known: Vec<&str> = vectors().into_iter().map(|(name, _)| name).collect();
    let section = DOCUMENT.split("## Test vectors").nth(1).unwrap();
    let rows = section.lines().filter(|line| line.contains("| `"));
    for row in rows {
        let name = row.trim_start_matches("| ").split(" | ").next().unwrap();
        assert!(known.contains(&name), "{name}");
    }
}

#[test]
fn document_shows_the_app_object_as_it_is_read() {
    let (_, json) = DOCUMENT.split_once("```json\n").unwrap();
    let (json, _) = json.split_once("```").unwrap();
    let version = Version::decode(json.as_bytes()).unwrap();
    assert_eq!(Offer::of(&version), Some(offer()));
    let App { ver, caps } = offer().to_app();
    assert_eq!(version.apps["fieldkey"], App { ver, caps });
}

#[test]
fn document_has_every_capability_endpoint_and_status() {
    let mut caps = offer().to_app().caps;
    caps.retain(|cap| !cap.starts_with("lockout_"));
    for form in [ClaimForm::Sas, ClaimForm::SymmetricKey, ClaimForm::Tpm] {
        caps.extend(
            Offer {
                credentials: true,
                claims: vec![form],
                ..Offer::default()
            }
            .to_app()
            .caps,
        );
    }
    for cap in caps {
        assert!(DOCUMENT.contains(&format!("| `{cap}` |")), "{cap}");
    }
    for (id, name) in (endpoints::FIRST_OWN..).zip(endpoints::offered(&offer())) {
        let row = format!("| `{name}` | 0x{id:04X} |");
        assert!(DOCUMENT.contains(&row), "{row}");
    }
    for code in 2..15 {
        let bytes = [0x08, code, 0x10, 0x00];
        let refusal = cloud_cred::decode_response(&bytes).unwrap().unwrap_err();
        let row = format!("| {code} | {} |", words(&format!("{refusal:?}")));
        assert!(DOCUMENT.contains(&row), "{row}");
    }
    for code in 2..5 {
        let refusal = identity::decode_response(&[0x08, code]).unwrap().unwrap_err();
        let row = format!("| {code} | {} |", words(&format!("{refusal:?}")));
        assert!(DOCUMENT.contains(&row), "{row}");
    }
}

/// `WrongOffset { … }` as `wrong offset`.
fn words(variant: &str) -> String {
    let name = variant.split([' ', '(']).next().unwrap();
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

#[test]
fn document_states_the_limits_of_the_code() {
    for (value, unit) in [
        (cloud_cred::CHUNK.to_string(), "bytes of claim in one piece"),
        (cloud_cred::CHUNK_LARGE.to_string(), "bytes with `chunk_400`"),
        (cloud_cred::BUFFER.to_string(), "bytes of claim in all"),
        (
            identity::ANSWER_MAX.to_string(),
            "bytes of identity answer in all",
        ),
        (
            identity::TEXT_MAX.to_string(),
            "bytes of model and of firmware version",
        ),
        (
            cloud_status::PRINCIPAL_MAX.to_string(),
            "bytes of principal and of code",
        ),
        (
            cloud_status::THING_MAX.to_string(),
            "bytes of thing name and of message",
        ),
        (
            Duration::as_secs(&cloud_cred::PARTIAL_LIFE).to_string(),
            "seconds that a half transfer is kept",
        ),
    ] {
        let row = format!("| {value} | {unit} |");
        assert!(DOCUMENT.contains(&row), "{row}");
    }
}
