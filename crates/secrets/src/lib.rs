//! Plaintext keys: locked, undumpable, wiped; and the one AEAD that uses them.
