//! Every call byte for byte: method, address, headers and body, as AWS's API references have their forms. What signs them
//! depends on the time and is held in `sign`.

use std::collections::BTreeSet;
use std::path::Path;

use ::http::Request;

use super::calls::{pooled, register, visit};
use super::script::*;

/// Headers that a signature adds.
const OF_THE_SIGNATURE: [&str; 3] = ["authorization", "x-amz-date", "x-amz-security-token"];

/// A request as it goes over the wire, without what depends on the time.
fn written(request: &Request<Vec<u8>>) -> String {
    let mut text = format!("{} {}\n", request.method(), request.uri());
    let mut headers: Vec<String> = request
        .headers()
        .iter()
        .filter(|(name, _)| !OF_THE_SIGNATURE.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
        .collect();
    headers.sort();
    text.extend(headers);
    if !request.body().is_empty() {
        text.push_str(std::str::from_utf8(request.body()).unwrap());
        text.push('\n');
    }
    text
}

#[tokio::test]
async fn every_request_is_what_it_was_to_the_byte() {
    let benches = [usual(""), pooled(), usual("")];
    let [by_role, by_pool, in_bulk] = &benches;
    visit(by_role).await;
    visit(by_pool).await;
    register(in_bulk).await;
    let mut all = BTreeSet::new();
    for bench in &benches {
        all.extend(bench.account.requests(written));
    }
    let all: Vec<String> = all.into_iter().collect();
    let text = all.join("\n");

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cloud/aws/tests/requests.txt");
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    if known != text {
        std::fs::write(&path, text).unwrap();
        panic!("written anew, to be compared and committed: {}", path.display());
    }
}
