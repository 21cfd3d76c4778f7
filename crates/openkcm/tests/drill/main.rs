//! `openkcm drill` as an operator runs it: on a scratch landscape of real processes and a real broker, and on one that is
//! there, which the operator's own commands break and heal.
//!
//! The drills are short and small; that they find what is broken is shown by breaking more than they do.

mod given;
mod run;
mod scratch;
