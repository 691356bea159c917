//! Tests of single decisions, on the good claim and variations of it.

mod cited;
mod compare;
mod contrast;
mod green;
mod guards;
mod hypothesis;
mod language;
mod observation;
mod orders;
mod permit;
mod run_facts;
mod shown;
mod spend;
mod turn;
mod verification;
