//! Claim bodies, canonical bytes, digests, DSSE envelopes and SSH signatures. Pure.
