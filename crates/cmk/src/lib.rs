//! The CMK Server: the Sovereign Anchor. Holds the L1 pointers and the power to withdraw them.
