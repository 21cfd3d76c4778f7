//! Orbital from the outside: envelope and verification, outbox and inbox, and the courier between two components.

mod addressing;
mod courier;
mod envelope;
mod faults;
mod fixture;
mod flaky;
mod forgery;
mod garbage;
mod inbox;
mod outbox;
mod poison;
mod post;
mod trust;
