//! Bulk registration: the line file of a maker's list, and the task that registers every device in it.
//!
//! `form` is what a template wants of a line, `list` reads and writes files, `task` speaks to AWS.
//!
//! Not here: putting the file into S3. That takes rights which no laptop needs to have.

mod form;
mod list;
mod task;

pub use form::{Form, FormError};
pub use list::{Entry, FileError, from_makers_list, look_through, read, write};
pub use task::{Failed, Failures, Order, OrderError, Status, Task, Tasks};

/// What is wrong in a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The line, from 1.
    pub line: u64,
    /// The column or parameter; none where it is the line as a whole.
    pub field: Option<String>,
    /// What is wrong, and what to do.
    pub why: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(field) = &self.field {
            write!(f, ", {field}")?;
        }
        write!(f, ": {}", self.why)
    }
}
