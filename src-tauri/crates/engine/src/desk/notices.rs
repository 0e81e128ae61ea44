//! What the person should know, besides what the rest of the view says.

use super::{NoticeView, Worker};
use crate::failure::Failure;

impl Worker {
    /// Something failed that the person asked for.
    pub(super) fn fail(&mut self, failure: Failure) {
        let Failure {
            code, what, why, now, ..
        } = failure;
        self.notice(&code, true, format!("{what} {why}").trim().to_owned(), now);
    }

    pub(super) fn warn(&mut self, code: &str, what: impl Into<String>, now: impl Into<String>) {
        self.notice(code, true, what.into(), now.into());
    }

    pub(super) fn tell(&mut self, code: &str, what: String, now: String) {
        self.notice(code, false, what, now);
    }

    fn notice(&mut self, code: &str, failed: bool, what: String, now: String) {
        // The same word twice is one notice, the newer.
        self.notices
            .retain(|shown| shown.code != code || shown.what != what);
        self.noticed += 1;
        self.notices.push(NoticeView {
            number: self.noticed,
            code: code.to_owned(),
            failed,
            what,
            now,
        });
        self.changed = true;
    }
}
