//! What crosses Orbital: ids, revisions, facts, events, problem codes. No I/O.
