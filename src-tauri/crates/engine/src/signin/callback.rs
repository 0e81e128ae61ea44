//! Reads what the browser brings back from the issuer (RFC 6749, 4.1.2). Pure: a query in, a decision out.

use commission::secret::Token;
use url::form_urlencoded;

use crate::cloud::problem::words;

/// The issuer's answer to this sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Callback {
    /// The authorization code.
    Code(Token),
    /// An error of the issuer.
    Refused {
        /// Its code.
        code: String,
        /// Its words.
        detail: String,
    },
}

/// Why a request is no answer to this sign-in. Anyone on this machine, and any web page in its browser, can send one,
/// so none of these ends the sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stray {
    /// Neither a code nor an error, or both, or one of them twice.
    Malformed,
    /// Another sign-in's `state`, or none.
    State,
    /// Another issuer's answer (RFC 9207).
    Issuer,
}

/// Reads the query of the redirect.
///
/// # Errors
/// [`Stray`] where it is no answer to the sign-in with this `state` at this issuer.
pub(super) fn read(query: &str, state: &Token, issuer: &str) -> Result<Callback, Stray> {
    let mut members: [(&str, Option<String>); 5] = [
        ("state", None),
        ("code", None),
        ("error", None),
        ("error_description", None),
        ("iss", None),
    ];
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let Some((_, slot)) = members.iter_mut().find(|(known, _)| *known == name) else {
            continue;
        };
        if slot.replace(value.into_owned()).is_some() {
            return Err(Stray::Malformed);
        }
    }
    let [(_, sent), (_, code), (_, error), (_, description), (_, iss)] = members;
    // Compared as secrets are, since guessing it byte by byte would let a web page sign the person in as another.
    if sent.is_none_or(|sent| Token::new(sent) != *state) {
        return Err(Stray::State);
    }
    if iss.is_some_and(|iss| iss != issuer) {
        return Err(Stray::Issuer);
    }
    match (code, error) {
        (Some(code), None) if !code.is_empty() => Ok(Callback::Code(Token::new(code))),
        (None, Some(error)) if !error.is_empty() => Ok(Callback::Refused {
            code: words(&error),
            detail: words(&description.unwrap_or_default()),
        }),
        _ => Err(Stray::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_code_or_one_error_with_our_state_is_an_answer() {
        let code = |text: &str| Ok(Callback::Code(Token::new(text)));
        let refused = |code: &str, detail: &str| {
            Ok(Callback::Refused {
                code: code.into(),
                detail: detail.into(),
            })
        };
        let table: &[(&str, Result<Callback, Stray>)] = &[
            ("state=s1&code=abc", code("abc")),
            ("code=a%2Bb%20c&state=s1&session_state=x", code("a+b c")),
            ("code=abc&state=s1&iss=https%3A%2F%2Fid.example", code("abc")),
            ("error=access_denied&state=s1", refused("access_denied", "")),
            (
                "error=server_error&error_description=Try+%0alater&state=s1",
                refused("server_error", "Try later"),
            ),
            ("", Err(Stray::State)),
            ("code=abc", Err(Stray::State)),
            ("code=abc&state=", Err(Stray::State)),
            ("code=abc&state=s2", Err(Stray::State)),
            ("code=abc&state=s1x", Err(Stray::State)),
            ("error=access_denied", Err(Stray::State)),
            ("state=s1", Err(Stray::Malformed)),
            ("state=s1&code=", Err(Stray::Malformed)),
            ("state=s1&error=", Err(Stray::Malformed)),
            ("state=s1&code=a&error=b", Err(Stray::Malformed)),
            ("state=s1&code=a&code=b", Err(Stray::Malformed)),
            ("state=s1&state=s1&code=a", Err(Stray::Malformed)),
            (
                "code=abc&state=s1&iss=https%3A%2F%2Fevil.example",
                Err(Stray::Issuer),
            ),
            ("code=abc&state=s1&iss=", Err(Stray::Issuer)),
            ("%ff%fe=%00&&&==", Err(Stray::State)),
        ];
        for (query, expected) in table {
            let read = read(query, &Token::new("s1"), "https://id.example");
            assert_eq!(read, *expected, "{query}");
        }
    }
}
