//! The pages that a person sees: sign in and consent, device code, outcome.

use axum::http::StatusCode;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::{Html, IntoResponse, Response};

/// A sign-in form.
pub(super) struct Form<'a> {
    /// Where it is posted.
    pub(super) action: &'a str,
    /// What the person agrees to.
    pub(super) asks: &'a str,
    /// Hidden or shown fields besides user and password: label (none is hidden), name, value.
    pub(super) extra: &'a [(Option<&'a str>, &'a str, &'a str)],
    /// What was wrong with the last try.
    pub(super) fault: Option<&'a str>,
}

impl Form<'_> {
    pub(super) fn response(&self, status: StatusCode) -> Response {
        let fault = self
            .fault
            .map(|fault| format!("<p role=\"alert\">{}</p>", escape(fault)));
        let extra: String = self
            .extra
            .iter()
            .map(|(label, name, value)| {
                let (name, value) = (escape(name), escape(value));
                match label {
                    None => format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">"),
                    Some(label) => format!(
                        "<p><label for=\"{name}\">{}</label><br><input id=\"{name}\" name=\"{name}\" \
                         value=\"{value}\" autocomplete=\"off\" required></p>",
                        escape(label)
                    ),
                }
            })
            .collect();
        let body = format!(
            "{}<form method=\"post\" action=\"{}\">{extra}\
             <p><label for=\"username\">User</label><br>\
             <input id=\"username\" name=\"username\" autocomplete=\"username\" required autofocus></p>\
             <p><label for=\"password\">Password</label><br>\
             <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" required></p>\
             <p>{}</p>\
             <p><button name=\"consent\" value=\"allow\">Sign in and allow</button> \
             <button name=\"consent\" value=\"deny\" formnovalidate>Deny</button></p></form>",
            fault.unwrap_or_default(),
            escape(self.action),
            escape(self.asks),
        );
        document(status, "Sign in", &body)
    }
}

/// A page with one sentence.
pub(super) fn message(status: StatusCode, title: &str, text: &str) -> Response {
    document(status, title, &format!("<p>{}</p>", escape(text)))
}

fn document(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{0} – Fieldkey sandbox</title></head>\
         <body><main><h1>{0}</h1>{body}</main></body></html>",
        escape(title)
    );
    // No script runs here and no other site may frame the password field.
    let policy = [(
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    )];
    (status, policy, super::NO_STORE, Html(html)).into_response()
}

fn escape(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut safe, c| {
            match c {
                '&' => safe.push_str("&amp;"),
                '<' => safe.push_str("&lt;"),
                '>' => safe.push_str("&gt;"),
                '"' => safe.push_str("&quot;"),
                '\'' => safe.push_str("&#39;"),
                c => safe.push(c),
            }
            safe
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_stays_text() {
        assert_eq!(escape("\"><script>'&"), "&quot;&gt;&lt;script&gt;&#39;&amp;");
    }
}
