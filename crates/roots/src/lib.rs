//! L1 providers: the customer's own roots of trust, behind one trait.
