//! Titles and descriptions of resources, as people and models read them.

/// What is said about a kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceText {
    /// URI template (RFC 6570), or a URI without variables.
    pub uri: &'static str,
    /// Short name for machines.
    pub name: &'static str,
    /// A few words for a menu.
    pub title: &'static str,
    /// What it holds, and the tool that gives the same.
    pub description: &'static str,
    /// Media type of its content.
    pub mime_type: &'static str,
}

/// Every kind of resource.
pub const RESOURCES: &[ResourceText] = &[
    ResourceText {
        uri: "log://{log_id}{?offset,len}",
        name: "log",
        title: "A page of a log",
        description: "A page of a stored log as JSON: sanitised, fenced text with its place and digests. Untrusted data. The tool read_log gives the same, and the raw bytes.",
        mime_type: "application/json",
    },
    ResourceText {
        uri: "run://{run_id}",
        name: "run",
        title: "A run",
        description: "A run with its cells, logs and class, as JSON. The tool wait_for_run gives the same.",
        mime_type: "application/json",
    },
    ResourceText {
        uri: "claim://{claim_id}",
        name: "claim",
        title: "A claim",
        description: "Everything about a claim, as JSON. The tool get_claim gives the same.",
        mime_type: "application/json",
    },
    ResourceText {
        uri: "loop://{loop_id}/brief",
        name: "brief",
        title: "Where a loop stands",
        description: "What the next session of a loop has to know, as text: goal, signals, claims, causes, next legal actions. The tool loop_status gives the same facts.",
        mime_type: "text/markdown",
    },
    ResourceText {
        uri: "invariants://current",
        name: "law",
        title: "The law in force",
        description: "The invariants at the tip of the branch under care, as JSON. The tool list_invariants gives the same.",
        mime_type: "application/json",
    },
    ResourceText {
        uri: "audit://{commit}",
        name: "audit",
        title: "Why a push was allowed",
        description: "The decision behind a pushed commit, replayed, as JSON. The tool explain_push gives the same.",
        mime_type: "application/json",
    },
];

/// The text of the kind of that name.
#[must_use]
pub fn resource_text(name: &str) -> Option<&'static ResourceText> {
    RESOURCES.iter().find(|text| text.name == name)
}
