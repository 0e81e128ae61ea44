//! As much XML as STS answers with: the text of an element that has no elements in it.

use zeroize::Zeroizing;

/// The text of the first element of this name; none where there is none, or it is not closed, or holds elements.
/// It may be a secret, and is wiped.
pub(super) fn leaf(body: &str, name: &str) -> Option<Zeroizing<String>> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    if text.contains('<') {
        return None;
    }
    // The ampersand last, so that what it wrote is not read twice.
    let text = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ]
    .into_iter()
    .fold(Zeroizing::new(text.trim().to_owned()), |text, (from, to)| {
        Zeroizing::new(text.replace(from, to))
    });
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::leaf;

    #[test]
    fn only_a_whole_leaf_is_read() {
        assert_eq!(
            leaf("<a><B> x &amp;lt; </B></a>", "B")
                .as_deref()
                .map(String::as_str),
            Some("x &lt;")
        );
        assert_eq!(leaf("<B></B>", "B").as_deref().map(String::as_str), Some(""));
        for body in ["", "<B>", "<B>x", "x</B>", "<B><C/></B>", "</B><B>"] {
            assert_eq!(leaf(body, "B"), None, "{body}");
        }
    }
}
