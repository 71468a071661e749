//! Several sites in one process: the seeded world and its campaigns.
