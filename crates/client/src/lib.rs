//! The Rust client of the three components.
