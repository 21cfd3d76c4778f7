//! What every component's store shares: transactions over named spaces, on SQLite or in memory.
