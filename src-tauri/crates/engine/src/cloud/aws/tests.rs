//! The account as a whole, against answers from a script: what is asked, in which order and with whose permission.

mod bulk;
mod calls;
mod claims;
mod examining;
mod keys;
mod pairs;
mod script;
mod watching;
