//! Frozen cgroups, and the file that thaws each.

use std::path::{Path, PathBuf};

use super::fault::Fault;
use super::plan::FrozenCgroup;
use super::process::read_start;
use crate::collect::kernel::{Kernel, KernelError, Kind};
use crate::model::Pid;

/// Finds the frozen cgroup that a process is in, or one above it. Nothing where none is frozen.
///
/// # Errors
///
/// When the process is gone, or its cgroups cannot be read.
pub(super) fn find_frozen(
    kernel: &mut dyn Kernel,
    pid: Pid,
) -> Result<Option<FrozenCgroup>, Fault> {
    let started = read_start(kernel, pid)?;
    let groups = kernel.read(&format!("{pid}/cgroup"))?;
    for line in String::from_utf8_lossy(&groups).lines() {
        let Some((switch, thawed)) = find_switch(kernel, line)? else {
            continue;
        };
        return Ok(Some(FrozenCgroup {
            pid,
            started,
            switch,
            thawed,
        }));
    }
    Ok(None)
}

/// Returns the file that thaws the hierarchy of a line of `/proc/PID/cgroup`, and what to write.
fn find_switch(
    kernel: &mut dyn Kernel,
    line: &str,
) -> Result<Option<(PathBuf, &'static str)>, KernelError> {
    let mut fields = line.splitn(3, ':');
    let (Some(number), Some(controllers), Some(path)) =
        (fields.next(), fields.next(), fields.next())
    else {
        return Ok(None);
    };
    if number == "0" {
        for mount in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
            if let Some(folder) = frozen_above(kernel, mount, path, "cgroup.freeze")? {
                return Ok(Some((folder.join("cgroup.freeze"), "0")));
            }
        }
        return Ok(None);
    }
    if controllers.split(',').any(|name| name == "freezer") {
        let mount = "/sys/fs/cgroup/freezer";
        let folder = frozen_above(kernel, mount, path, "freezer.self_freezing")?;
        return Ok(folder.map(|folder| (folder.join("freezer.state"), "THAWED")));
    }
    Ok(None)
}

/// Returns the nearest folder of which a file says that this very cgroup is frozen.
fn frozen_above(
    kernel: &mut dyn Kernel,
    mount: &str,
    path: &str,
    file: &str,
) -> Result<Option<PathBuf>, KernelError> {
    let mount = Path::new(mount);
    let mut folder = mount.join(path.trim_start_matches('/'));
    while folder.starts_with(mount) && folder != mount {
        match kernel.read(&folder.join(file).to_string_lossy()) {
            Ok(text) if text.trim_ascii() == b"1" => return Ok(Some(folder)),
            Ok(_) => {}
            // The hierarchy is mounted elsewhere, or has no such file here.
            Err(error) if error.kind == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
        folder.pop();
    }
    Ok(None)
}
