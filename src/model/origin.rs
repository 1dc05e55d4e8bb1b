//! What a process belongs to.

/// What a process belongs to, by the names of its cgroups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Runtime and id of its container.
    pub container: Option<(String, String)>,
    /// Uid of its Kubernetes pod.
    pub pod: Option<String>,
    /// Its systemd unit.
    pub unit: Option<String>,
}
