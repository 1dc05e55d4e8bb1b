//! Whether a process's cgroup is frozen.

use procfs::{FromRead, ProcessCGroups};

use crate::collect::kernel::{Kernel, KernelError, Kind};
use crate::model::{Gap, Pid, Reading};

/// Reads the freezer state of every hierarchy that the process is in.
pub(super) fn read_frozen(kernel: &mut dyn Kernel, pid: Pid) -> Reading<bool> {
    let groups = match kernel.read(&format!("{pid}/cgroup")) {
        Ok(bytes) => bytes,
        Err(error) => return Reading::Unknown(error.gap()),
    };
    let Ok(groups) = ProcessCGroups::from_read(&groups[..]) else {
        return Reading::Unknown(Gap::Malformed);
    };
    let mut gap = None;
    let mut seen = false;
    for group in &groups {
        for (path, frozen_when) in
            freezer_files(&group.controllers, group.hierarchy, &group.pathname)
        {
            match read_state(kernel, &path, frozen_when) {
                Ok(true) => return Reading::Known(true),
                Ok(false) => seen = true,
                // A cgroup that is not below this mount: another cgroup namespace, or no mount.
                Err(error) if error.kind == Kind::NotFound => gap = gap.or(Some(Gap::NotSupported)),
                Err(error) => gap = Some(error.gap()),
            }
        }
    }
    match gap {
        Some(gap) if !seen => Reading::Unknown(gap),
        _ => Reading::Known(false),
    }
}

/// The files that tell, and the line by which they do. The root of a hierarchy cannot be frozen.
fn freezer_files(
    controllers: &[String],
    hierarchy: u32,
    path: &str,
) -> Vec<(String, &'static str)> {
    if path == "/" {
        return Vec::new();
    }
    if hierarchy == 0 {
        // Version 2, mounted alone or beside version 1.
        return ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            .map(|mount| (format!("{mount}{path}/cgroup.events"), "frozen 1"))
            .to_vec();
    }
    if controllers.iter().any(|name| name == "freezer") {
        let file = format!("/sys/fs/cgroup/freezer{path}/freezer.state");
        return vec![(file.clone(), "FROZEN"), (file, "FREEZING")];
    }
    Vec::new()
}

fn read_state(kernel: &mut dyn Kernel, path: &str, frozen_when: &str) -> Result<bool, KernelError> {
    let bytes = kernel.read(path)?;
    Ok(String::from_utf8_lossy(&bytes)
        .lines()
        .any(|line| line == frozen_when))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hierarchy_has_its_own_freezer_file() {
        let v2 = freezer_files(&[], 0, "/system.slice/web.service");
        assert_eq!(
            v2[0],
            (
                "/sys/fs/cgroup/system.slice/web.service/cgroup.events".to_owned(),
                "frozen 1"
            )
        );
        let v1 = freezer_files(&["freezer".to_owned()], 6, "/docker/abc");
        assert_eq!(v1[0].0, "/sys/fs/cgroup/freezer/docker/abc/freezer.state");
        assert!(freezer_files(&["cpu".to_owned()], 1, "/docker/abc").is_empty());
        assert!(freezer_files(&[], 0, "/").is_empty());
    }
}
