//! See the workspace file.
#![no_std]
