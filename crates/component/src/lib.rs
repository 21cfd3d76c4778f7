//! What the shells of all three actors share: the store, the courier, the status, the quarantine.
