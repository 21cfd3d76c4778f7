//! The CMK Registry: the Architect. Says what should exist.
