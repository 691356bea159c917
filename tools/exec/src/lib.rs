//! Child processes: groups, clean environment, transcripts, limits, leases.
