//! The landscape as its users meet it: the real binary, as processes, from outside.
//!
//! Each module is one promise: that the README's tour works, that nothing is lost by a stop or a kill, that
//! bad input changes nothing, that no secret is written anywhere. A test has a landscape of its own, on free
//! ports, in a directory of its own; what it waits for it looks for, and no time is asserted.

mod bad_input;
mod cores;
mod ends;
mod first_start;
mod http;
mod kill;
mod logs;
mod openapi;
mod openbao;
mod purge;
mod quarantine;
mod regions;
mod restart;
mod schemathesis;
mod secrets;
mod setup;
mod status;
mod tour;
