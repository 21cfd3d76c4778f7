//! The Krypton Core: the Builder. Makes, rotates and uses the keys.
