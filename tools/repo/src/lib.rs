//! The daemon's bare repository, clean rooms and the one door out.
