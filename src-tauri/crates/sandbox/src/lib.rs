//! See the workspace file.
