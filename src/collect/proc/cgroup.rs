//! Whether a process's cgroup is frozen.

use procfs::{FromRead, ProcessCGroups};

use crate::collect::kernel::{Kernel, KernelError, Kind};
use crate::model::{Gap, Origin, Pid, Reading};

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
    let Some(gap) = gap.filter(|_| !seen) else {
        return Reading::Known(false);
    };
    elsewhere(kernel, &groups).unwrap_or(Reading::Unknown(gap))
}

/// Where cgroups are mounted in other places than usual: the mounts that we see, then those of process 1, whose files
/// are read through its root. Nothing where none of them holds the cgroups of the process.
fn elsewhere(kernel: &mut dyn Kernel, groups: &ProcessCGroups) -> Option<Reading<bool>> {
    let mut seen = false;
    for (mounts, root) in [("self/mountinfo", ""), ("1/mountinfo", "1/root")] {
        let Ok(bytes) = kernel.read(mounts) else {
            continue;
        };
        for mount in parse_mounts(&bytes) {
            for group in groups {
                let Some(path) =
                    mount.path_of(group.hierarchy, &group.controllers, &group.pathname)
                else {
                    continue;
                };
                for (file, frozen_when) in mount.freezer_files() {
                    match read_state(kernel, &format!("{root}{path}/{file}"), frozen_when) {
                        Ok(true) => return Some(Reading::Known(true)),
                        Ok(false) => seen = true,
                        Err(_) => {}
                    }
                }
            }
        }
    }
    seen.then_some(Reading::Known(false))
}

/// A mount of a hierarchy of cgroups that can freeze.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    /// The cgroup that is mounted.
    root: String,
    /// Where it is mounted.
    point: String,
    /// Whether it is of version 2.
    unified: bool,
}

impl Mount {
    /// Where the files of a process's cgroup are, if it is in this hierarchy and below what is mounted.
    fn path_of(&self, hierarchy: u32, controllers: &[String], group: &str) -> Option<String> {
        let ours = if self.unified {
            hierarchy == 0
        } else {
            controllers.iter().any(|name| name == "freezer")
        };
        if !ours || group == "/" {
            return None;
        }
        let below = group.strip_prefix(self.root.trim_end_matches('/'))?;
        (below.is_empty() || below.starts_with('/')).then(|| format!("{}{below}", self.point))
    }

    fn freezer_files(&self) -> &'static [(&'static str, &'static str)] {
        if self.unified {
            &[("cgroup.events", "frozen 1")]
        } else {
            &[("freezer.state", "FROZEN"), ("freezer.state", "FREEZING")]
        }
    }
}

/// Parses `mountinfo`: `35 24 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw`.
fn parse_mounts(bytes: &[u8]) -> Vec<Mount> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().filter_map(parse_mount).collect()
}

fn parse_mount(line: &str) -> Option<Mount> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, point) = (place.next()?, place.next()?);
    let mut kind = kind.split(' ');
    let unified = match kind.next()? {
        "cgroup2" => true,
        "cgroup" if kind.nth(1)?.split(',').any(|option| option == "freezer") => false,
        _ => return None,
    };
    Some(Mount {
        root: unescape(root),
        point: unescape(point),
        unified,
    })
}

/// Blanks and backslashes are written as three octal digits.
fn unescape(text: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (escaped, plain)| {
        text.replace(escaped, plain)
    })
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

/// Reads which container, pod or unit a process belongs to, from the names of its cgroups.
pub fn read_origin(kernel: &mut dyn Kernel, pid: Pid) -> Reading<Origin> {
    let bytes = match kernel.read(&format!("{pid}/cgroup")) {
        Ok(bytes) => bytes,
        Err(error) => return Reading::Unknown(error.gap()),
    };
    match ProcessCGroups::from_read(&bytes[..]) {
        Ok(groups) => Reading::Known(parse_origin(groups.into_iter().map(|group| group.pathname))),
        Err(_) => Reading::Unknown(Gap::Malformed),
    }
}

/// What container runtimes put before a container's id in the name of its systemd scope.
const SCOPES: [(&str, &str); 4] = [
    ("docker-", "docker"),
    ("cri-containerd-", "containerd"),
    ("crio-", "cri-o"),
    ("libpod-", "podman"),
];

fn parse_origin(paths: impl Iterator<Item = String>) -> Origin {
    let mut origin = Origin::default();
    for path in paths {
        let mut before = "";
        origin.unit = unit(&path).or(origin.unit);
        for part in path.split('/') {
            let stem = part.strip_suffix(".scope").unwrap_or(part);
            let scope = SCOPES.iter().find_map(|(prefix, runtime)| {
                Some((
                    *runtime,
                    stem.strip_prefix(prefix).filter(|id| is_container_id(id))?,
                ))
            });
            let plain = is_container_id(stem).then_some((plain_runtime(before), stem));
            if let Some((runtime, id)) = scope.or(plain) {
                origin.container = Some((runtime.to_owned(), id.to_owned()));
            }
            if let Some(uid) = pod_uid(part) {
                origin.pod = Some(uid);
            }
            before = part;
        }
    }
    origin
}

/// The unit that a manager started, with the manager where it is a user's: `nginx.service (user 1000)`.
///
/// The system's manager owns the path down to the first service or scope. `user@UID.service` is the manager of a
/// user, who names what is below it as he likes; and below its own service each program does.
fn unit(path: &str) -> Option<String> {
    let kind = |part: &str| part.rsplit_once('.').map(|(_, kind)| kind.to_owned());
    let is_unit = |part: &&str| matches!(kind(part).as_deref(), Some("service" | "scope"));
    let service = |part: &str| part.ends_with(".service").then(|| part.to_owned());
    let mut parts = path.split('/');
    let first = parts.by_ref().find(is_unit)?;
    let user = first
        .strip_prefix("user@")
        .and_then(|rest| rest.strip_suffix(".service"));
    let Some(uid) = user else {
        return service(first);
    };
    match parts.find(is_unit).and_then(service) {
        Some(own) => Some(format!("{own} (user {uid})")),
        None => service(first),
    }
}

/// Without systemd the folder above a container's tells the runtime.
fn plain_runtime(folder: &str) -> &'static str {
    match folder {
        "docker" => "docker",
        "libpod_parent" => "podman",
        _ => "container",
    }
}

fn is_container_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `pod<uid>`, or `kubepods-burstable-pod<uid>.slice` with underscores for dashes.
fn pod_uid(part: &str) -> Option<String> {
    let stem = part.strip_suffix(".slice").unwrap_or(part);
    let start = if stem.starts_with("pod") {
        3
    } else {
        stem.find("-pod").filter(|_| stem.starts_with("kubepods"))? + 4
    };
    let uid = stem[start..].replace('_', "-");
    let is_uid = uid.len() == 36 && uid.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    is_uid.then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::kernel::LiveKernel;

    #[test]
    fn mounts_in_other_places_are_found_with_what_they_hold() {
        let mounts = parse_mounts(
            b"35 24 0:30 / /mnt/a\\040b rw - cgroup2 none rw,nsdelegate\n\
              36 24 0:31 /docker /run/freezer rw shared:9 - cgroup freezer rw,freezer\n\
              37 24 0:32 / /sys/fs/cgroup/cpu rw - cgroup cpu rw,cpu\n\
              38 24 0:33 / /proc rw - proc proc rw\n",
        );
        assert_eq!(mounts.len(), 2);
        let freezer = ["freezer".to_owned()];
        let v2 = mounts[0].path_of(0, &[], "/web");
        assert_eq!(v2.as_deref(), Some("/mnt/a b/web"));
        let v1 = mounts[1].path_of(6, &freezer, "/docker/abc");
        assert_eq!(v1.as_deref(), Some("/run/freezer/abc"));
        for outside in ["/dockerish/abc", "/other", "/"] {
            assert_eq!(mounts[1].path_of(6, &freezer, outside), None);
        }
        assert_eq!(mounts[1].path_of(0, &[], "/docker/abc"), None);
    }

    /// A tree with process 7 in a cgroup of its own, which is mounted where one of two processes sees it.
    fn frozen_behind(mounts: &str, root: &str) -> Reading<bool> {
        let tree = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let file = tree.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        let point = if root.is_empty() {
            tree.path().join("odd").display().to_string()
        } else {
            "/odd".to_owned()
        };
        write("7/cgroup", "0::/no-such-cgroup-here\n");
        write(
            mounts,
            &format!("35 24 0:30 / {point} rw - cgroup2 none rw\n"),
        );
        write(
            &format!("{root}odd/no-such-cgroup-here/cgroup.events"),
            "populated 1\nfrozen 1\n",
        );
        read_frozen(&mut LiveKernel::new(tree.path()), 7)
    }

    #[test]
    fn a_frozen_cgroup_is_found_where_we_or_process_1_see_it_mounted() {
        assert_eq!(frozen_behind("self/mountinfo", ""), Reading::Known(true));
        assert_eq!(
            frozen_behind("1/mountinfo", "1/root/"),
            Reading::Known(true)
        );
        let nowhere = frozen_behind("2/mountinfo", "");
        assert_eq!(nowhere, Reading::Unknown(Gap::NotSupported));
    }

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

    fn origin(path: &str) -> Origin {
        parse_origin(std::iter::once(path.to_owned()))
    }

    #[test]
    fn containers_pods_and_units_are_named_by_their_cgroups() {
        let id = "0123456789abcdef".repeat(4);
        let docker = origin(&format!("/system.slice/docker-{id}.scope"));
        assert_eq!(docker.container, Some(("docker".to_owned(), id.clone())));
        assert_eq!(
            origin(&format!("/docker/{id}")).container,
            Some(("docker".to_owned(), id.clone()))
        );
        let pod = origin(&format!(
            "/kubepods.slice/kubepods-burstable.slice/\
             kubepods-burstable-pod8f6a2f4e_7c1d_4f0e_9d65_0c1b2a3d4e5f.slice/cri-containerd-{id}.scope"
        ));
        assert_eq!(
            pod.pod.as_deref(),
            Some("8f6a2f4e-7c1d-4f0e-9d65-0c1b2a3d4e5f")
        );
        assert_eq!(pod.container, Some(("containerd".to_owned(), id)));
        let unit = origin("/system.slice/nginx.service");
        assert_eq!(unit.unit.as_deref(), Some("nginx.service"));
        assert_eq!(origin("/user.slice"), Origin::default());
    }

    #[test]
    fn a_unit_is_named_by_the_manager_that_owns_it() {
        let unit = |path: &str| origin(path).unit;
        let users = "/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service";
        assert_eq!(unit(users).as_deref(), Some("nginx.service (user 1000)"));
        // A container is no service, whatever runs in it.
        assert_eq!(
            unit("/system.slice/docker-1.scope/system.slice/nginx.service"),
            None
        );
        let below = "/system.slice/web.service/nginx.service";
        assert_eq!(unit(below).as_deref(), Some("web.service"));
        let manager = "/user.slice/user-1000.slice/user@1000.service/init.scope";
        assert_eq!(unit(manager).as_deref(), Some("user@1000.service"));
    }
}
