//! Client and device in one process: every scheme and variant, what goes wrong on the way, and what hostile or old
//! devices say.

mod claims;
mod joining;
mod opening;
mod pair;
mod scanning;
mod traps;
