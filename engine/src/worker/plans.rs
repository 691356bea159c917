//! The arena plan of a model's last pass, for the passes that need the same one.
//!
//! Decode passes differ in positions only, so one plan serves them all. What a plan is made from is its key, compared whole;
//! a digest of it stands in the log.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::report::SHORT;
use crate::error::Result;
use crate::graph::Graph;
use crate::plan::{Plan, Request, requests};

/// One plan with its key.
#[derive(Debug, Default)]
pub(super) struct PlanCache {
    last: Option<(Key, Arc<Plan>)>,
}

/// Why a pass was planned anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Miss {
    /// First digits of the digest of the key.
    pub(super) key: String,
    /// The same of the plan that was there.
    pub(super) cached: Option<String>,
    /// What differs between them.
    pub(super) differs: &'static str,
}

/// Everything that decides a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    envelope: u64,
    /// Bytes of every cache, in the order of the graph.
    caches: Vec<u64>,
    requests: Vec<Request>,
}

impl PlanCache {
    /// The plan of a graph: the last one where it is the same, or else what `make` says, which must follow from the graph's
    /// requests, caches and the envelope alone.
    ///
    /// # Errors
    /// Those of `make`; the last plan stays then.
    pub(super) fn plan(
        &mut self,
        graph: &Graph,
        envelope: u64,
        make: impl FnOnce(&Graph, u64) -> Result<Plan>,
    ) -> Result<(Arc<Plan>, Option<Miss>)> {
        let key = Key::of(graph, envelope);
        if let Some((_, plan)) = self.last.as_ref().filter(|(last, _)| *last == key) {
            return Ok((Arc::clone(plan), None));
        }
        let plan = Arc::new(make(graph, envelope)?);
        let last = self.last.as_ref().map(|(last, _)| last);
        let miss = Miss {
            key: key.digest(),
            cached: last.map(Key::digest),
            differs: last.map_or("first", |last| last.difference(&key)),
        };
        self.last = Some((key, Arc::clone(&plan)));
        Ok((plan, Some(miss)))
    }
}

impl Key {
    fn of(graph: &Graph, envelope: u64) -> Self {
        let states = graph.tensors().iter().filter(|tensor| tensor.flags.state);
        Self {
            envelope,
            caches: states.map(|tensor| tensor.bytes()).collect(),
            requests: requests(graph),
        }
    }

    /// The first thing that differs from another key.
    fn difference(&self, other: &Self) -> &'static str {
        let sizes = |key: &Self| key.requests.iter().map(|r| r.bytes).collect::<Vec<_>>();
        if self.envelope != other.envelope {
            "envelope"
        } else if self.caches != other.caches {
            "caches"
        } else if self.requests.len() != other.requests.len() {
            "tensors"
        } else if sizes(self) != sizes(other) {
            "bytes"
        } else {
            "lifetimes"
        }
    }

    fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.envelope.to_le_bytes());
        hasher.update((self.caches.len() as u64).to_le_bytes());
        for bytes in &self.caches {
            hasher.update(bytes.to_le_bytes());
        }
        for request in &self.requests {
            hasher.update(request.bytes.to_le_bytes());
            for number in [
                request.tensor.0,
                request.first,
                request.last,
                request.needed,
            ] {
                hasher.update(number.to_le_bytes());
            }
            hasher.update([u8::from(request.pinned)]);
        }
        let mut digest = hex::encode(hasher.finalize());
        digest.truncate(SHORT);
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{GraphBuilder, Op};
    use crate::tensor::ElementType;

    /// `repeats` sums of a leaf with itself, and a cache.
    fn graph(cols: u32, repeats: u32, cache_rows: u32) -> Graph {
        let mut builder = GraphBuilder::new();
        let mut x = builder.input("x", 1, cols, ElementType::F32);
        builder.state("cache", cache_rows, 4);
        for _ in 0..repeats {
            x = builder.node(Op::Add, &[x, x], None, 1, cols);
        }
        builder.mark_output(x);
        builder.finish()
    }

    #[test]
    fn the_same_graph_is_planned_once_and_another_one_anew() {
        let mut cache = PlanCache::default();
        let mut ask = |graph: &Graph, envelope| {
            let (plan, miss) = cache.plan(graph, envelope, Plan::new).unwrap();
            assert_eq!(*plan, Plan::new(graph, envelope).unwrap());
            miss.map(|miss| (miss.differs, miss.key, miss.cached))
        };
        let (first, key, cached) = ask(&graph(8, 2, 4), 1 << 20).unwrap();
        assert_eq!((first, cached), ("first", None));
        assert_eq!(ask(&graph(8, 2, 4), 1 << 20), None);
        let mut before = key;
        for (next, envelope, differs) in [
            (graph(16, 2, 4), 1 << 20, "bytes"),
            (graph(16, 3, 4), 1 << 20, "tensors"),
            (graph(16, 3, 8), 1 << 20, "caches"),
            (graph(16, 3, 8), 1 << 21, "envelope"),
            (graph(8, 2, 4), 1 << 21, "caches"),
        ] {
            let (found, key, cached) = ask(&next, envelope).unwrap();
            assert_eq!((found, cached), (differs, Some(before)));
            before = key;
            assert_eq!(ask(&next, envelope), None, "{differs}");
        }
    }

    #[test]
    fn lives_are_part_of_the_key() {
        let crossed = |late: bool| {
            let mut builder = GraphBuilder::new();
            let x = builder.input("x", 1, 8, ElementType::F32);
            let a = builder.node(Op::Add, &[x, x], None, 1, 8);
            let b = builder.node(Op::Add, &[a, if late { x } else { a }], None, 1, 8);
            builder.mark_output(b);
            builder.finish()
        };
        let mut cache = PlanCache::default();
        cache.plan(&crossed(false), 1 << 20, Plan::new).unwrap();
        let (_, miss) = cache.plan(&crossed(true), 1 << 20, Plan::new).unwrap();
        assert_eq!(miss.unwrap().differs, "lifetimes");
    }

    #[test]
    fn a_plan_that_does_not_fit_leaves_the_last_one() {
        let mut cache = PlanCache::default();
        cache.plan(&graph(8, 2, 4), 1 << 20, Plan::new).unwrap();
        cache.plan(&graph(8, 2, 4), 1, Plan::new).unwrap_err();
        let (_, miss) = cache.plan(&graph(8, 2, 4), 1 << 20, Plan::new).unwrap();
        assert_eq!(miss, None);
    }
}
