//! The mesh: envelope, signatures, lanes, outbox, inbox, transports.
