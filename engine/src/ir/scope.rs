//! What barriers order.

use serde::{Serialize, Serializer};

/// Set of (stage, access) pairs that a barrier orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ScopeSet(u8);

impl ScopeSet {
    /// Compute shader reads.
    pub const SHADER_READ: ScopeSet = ScopeSet(1);
    /// Compute shader writes.
    pub const SHADER_WRITE: ScopeSet = ScopeSet(2);
    /// Reads by copies.
    pub const TRANSFER_READ: ScopeSet = ScopeSet(4);
    /// Writes by copies and fills.
    pub const TRANSFER_WRITE: ScopeSet = ScopeSet(8);
    /// Reads by the host after a fence.
    pub const HOST_READ: ScopeSet = ScopeSet(16);
    /// All reads and writes by commands of the device.
    pub const DEVICE: ScopeSet = ScopeSet(15);

    const NAMES: [(ScopeSet, &'static str); 5] = [
        (Self::SHADER_READ, "shader_read"),
        (Self::SHADER_WRITE, "shader_write"),
        (Self::TRANSFER_READ, "transfer_read"),
        (Self::TRANSFER_WRITE, "transfer_write"),
        (Self::HOST_READ, "host_read"),
    ];

    /// Members of either set.
    pub const fn union(self, other: ScopeSet) -> ScopeSet {
        ScopeSet(self.0 | other.0)
    }

    /// Whether every member of `other` is a member.
    pub const fn contains(self, other: ScopeSet) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether a member belongs to the compute stage.
    pub const fn has_compute(self) -> bool {
        self.0 & 3 != 0
    }

    /// Whether a member belongs to the transfer stage.
    pub const fn has_transfer(self) -> bool {
        self.0 & 12 != 0
    }

    /// Whether a member belongs to the host.
    pub const fn has_host(self) -> bool {
        self.0 & 16 != 0
    }

    /// Names of the members.
    pub fn names(self) -> Vec<&'static str> {
        Self::NAMES
            .iter()
            .filter(|(scope, _)| self.contains(*scope))
            .map(|(_, name)| *name)
            .collect()
    }
}

impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.names().serialize(serializer)
    }
}
