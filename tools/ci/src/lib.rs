//! Run sources: where runs, jobs and logs come from.
