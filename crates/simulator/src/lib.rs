//! The landscape under a seeded scheduler.
